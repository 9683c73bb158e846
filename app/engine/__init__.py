"""The workflow engine.

How a contact goes through a workflow:

 1. Something happens to a contact: a use case, an import, an inbound webhook or a schedule writes an *event*.
 2. `matching.matcher` reads new events in batches and asks `core.trigger_index` which workflows may care.
 3. `core.entry_rules` decides for each candidate; the *decision* is stored with the values it saw.
 4. Accepted contacts become *enrollments* (`matching.enroll`); the event also wakes those that wait for it.
 5. `advancing.runner` claims due enrollments, a batch at a time, and `advancing.loader` reads what they need.
 6. `core.advance` decides what happens next to each of them: pure, with the time and the facts handed in.
    What a step does is in its module in `core.steps`.
 7. `advancing.changeset` writes the batch in one transaction: executions, contact changes, events,
    effects, and the due times that `core.interpreter` set (the rules of waits are in `core.timing`).
 8. `effects.dispatcher` claims due *effects* and sends each through `effects.channels`, which calls an
    adapter of `app.integrations`; the outcome is written under the claim's fence.
 9. `schedules.scheduler` fires what time alone brings: schedules, date triggers, segment membership,
    overdue tasks.
10. `recovery` keeps a bad row, a killed worker or a restored backup from losing or repeating anything.

Screens import the engine; the engine never imports a screen.
"""
