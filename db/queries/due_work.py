"""The query for workflows with due rows, so that a claim never scans the rows of a held workflow."""


def due_workflows(row: str, free: str, moving: str) -> str:
    """SQL for the workflows (id, name, status) that have a claimable row. `row` is a table and its alias,
    `free` the condition that makes a row claimable, `moving` a condition on the workflow `w`.

    The workflow whose row has waited longest comes first, so no workflow waits longer than a batch for newer
    rows of another. Reads one index entry per workflow; returns nothing while the engine is held."""
    alias = row.rpartition(" ")[2]
    return f"""
        select w.id, w.name, w.status
          from workflows w
         cross join lateral (
               select {alias}.due_at from {row}
                where {alias}.account_id = w.account_id and {alias}.workflow_id = w.id and {free}
                order by {alias}.due_at limit 1) front
         where w.account_id = current_account() and {moving}
           and not exists (select from engine_state i where i.held_at is not null)
         order by front.due_at"""  # noqa: S608 -- constants of the callers
