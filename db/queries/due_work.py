"""What is due, workflow by workflow: a claim never walks over the rows of a workflow that is held."""


def due_workflows(row: str, free: str, moving: str) -> str:
    """A query for the workflows (id, name, status) that have a due `row` (a table and its alias) that may be
    claimed (`free`, a condition on it) and for which `moving` (a condition on the workflow `w`) holds. The
    workflow whose row waits longest comes first, so no workflow waits for another one's newer rows for
    longer than a batch. A row that is paused, or under way already, gives its workflow no turn.

    It looks once at the front of each workflow's part of the index, and nowhere while the engine is held."""
    alias = row.rpartition(" ")[2]
    return f"""
        select w.id, w.name, w.status
          from workflows w
         cross join lateral (
               select {alias}.due_at from {row}
                where {alias}.account_id = w.account_id and {alias}.workflow_id = w.id and {free}
                order by {alias}.due_at limit 1) front
         where w.account_id = current_account() and {moving}
           and not exists (select from installation i where i.held_at is not null)
         order by front.due_at"""  # noqa: S608 -- constants of the callers
