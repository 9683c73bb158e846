"""The state of an account without ids and times, as JSON: equal for two runs of the same scene."""

import json
from typing import Any
from uuid import UUID

import asyncpg

CONTACTS = """
select c.id, c.city, c.deleted_at is not null as deleted,
  (select array_agg(t.name order by t.name) from contact_tags x join tags t on t.id = x.tag_id
    where x.contact_id = c.id) as tags,
  (select jsonb_agg(jsonb_build_array(e.status, e.step_key, e.seq, e.wait_reason, e.exit_reason)
                    order by e.entered_at, e.id) from enrollments e where e.contact_id = c.id) as enrollments,
  (select jsonb_agg(jsonb_build_array(x.seq, x.kind, x.outcome) order by e.entered_at, x.seq)
     from enrollment_executions x join enrollments e on e.id = x.enrollment_id
    where e.contact_id = c.id) as executions,
  (select jsonb_agg(jsonb_build_array(f.seq, f.kind, f.status, f.started_at is not null) order by f.kind,
     f.seq)
     from effects f where f.contact_id = c.id) as effects,
  (select jsonb_agg(jsonb_build_array(v.kind, v.matched_at is not null) order by v.kind, v.matched_at is null)
     from events v where v.subject_id = c.id) as events,
  (select array_agg(d.verdict order by d.verdict) from trigger_decisions d
    where d.contact_id = c.id) as verdicts,
  (select array_agg(l.action order by l.action) from audit_logs l where l.subject_id = c.id::text) as audit
  from contacts c where c.account_id = $1
"""
ACCOUNT = """
select (select jsonb_agg(jsonb_build_array(task, status, progress) order by task) from jobs
         where account_id = $1) as jobs,
       (select jsonb_agg(jsonb_build_array(cardinality(ids)) order by cardinality(ids)) from inflight_batches
         where account_id = $1) as batches,
       (select array_agg(action order by action) from audit_logs
         where account_id = $1 and subject_kind not in ('contact')) as audit
"""


async def state_of(admin_url: str, account: UUID) -> str:
    """`contacts` sorted by their content, which contact is which does not count, and `account`: jobs, marks
    and the audit trail of everything but contacts. Reads as a superuser, in one snapshot."""
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            contacts = [_plain(row) for row in await connection.fetch(CONTACTS, account)]
            account_row = _plain(await connection.fetchrow(ACCOUNT, account))
    finally:
        await connection.close()
    for contact in contacts:
        contact.pop("id")
    documents = sorted(json.dumps(contact, sort_keys=True) for contact in contacts)
    return json.dumps({"contacts": [json.loads(document) for document in documents], "account": account_row})


def _plain(row: Any) -> dict[str, Any]:
    """A row with its JSON decoded."""
    return {
        name: json.loads(column) if isinstance(column, str) and column[:1] == "[" else column
        for name, column in row.items()
    }
