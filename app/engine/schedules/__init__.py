"""Everything that happens only because time passes.

In: the time. Out: events of schedules, date triggers and overdue tasks, and changes of segment membership.
Entry point: `scheduler.run_schedules`.
"""
