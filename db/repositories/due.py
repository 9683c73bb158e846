"""What is due, workflow by workflow: a claim never walks over the rows of a workflow that is held."""


def due_workflows(table: str, statuses: str, moving: str) -> str:
    """A query for the workflows (id, name, status) that have due rows of `table` in these `statuses` (SQL
    text) and for which `moving` (a condition on the workflow `w`) holds. The workflow whose row waits
    longest comes first, so no workflow waits for another one's newer rows for longer than a batch.

    It looks once at the front of each workflow's part of the index, and nowhere while the engine is held."""
    return f"""
        select w.id, w.name, w.status
          from workflows w
         cross join lateral (
               select d.due_at from {table} d
                where d.account_id = w.account_id and d.workflow_id = w.id and d.status in ({statuses})
                  and d.due_at <= cast(:now as timestamptz)
                order by d.due_at limit 1) front
         where w.account_id = current_account() and {moving}
           and not exists (select from installation i where i.held_at is not null)
         order by front.due_at"""  # noqa: S608 -- constants of the callers
