"""Digests of what was written, without IDs and times: every way to move the same contacts must write the same
rows.

`row_digests` reads them, `differences` compares them.
"""

from uuid import UUID

from scripts._lib.bench.testbed import Testbed

# Each row with the number of its contact (external ID); generated IDs are left out.
_ROWS = {
    "contacts": "select c.external_id, c.city, c.rev, c.fields, c.first_name, c.company from contacts c",
    "contact_tags": "select c.external_id, t.name from contact_tags x "
    "join contacts c on c.id = x.contact_id join tags t on t.id = x.tag_id",
    "enrollment_executions": "select c.external_id, x.seq, x.step_key, x.kind, x.outcome, x.error, "
    "x.finished_at is null as open, x.started_at >= e.entered_at as after, "
    "x.detail - 'until' - 'tag' as detail, x.detail ? 'until' as until, x.detail ? 'tag' as tagged "
    "from enrollment_executions x join enrollments e on e.id = x.enrollment_id "
    "join contacts c on c.id = e.contact_id",
    "events": "select c.external_id, x.kind, x.source, x.data - 'tag_id' as data, x.depth, "
    "x.matched_at is null as unmatched, x.root_event_id = c.id as root from events x "
    "join contacts c on c.id = x.subject_id",
    "audit_logs": "select c.external_id, x.actor_kind, split_part(x.actor_id, ':', 2) as step, x.actor_name, "
    "x.action, x.subject_kind, x.changes, x.request_id from audit_logs x "
    "join contacts c on c.id = x.subject_id::uuid",
    "enrollments": "select c.external_id, e.status, e.step_key, e.seq, e.fence, e.due_at is null as idle, "
    "e.due_at = e.wait_until as timed, e.due_at > now() as later, e.wait_reason, e.exit_reason, e.goal_key, "
    "e.error, e.ended_at is null as going, e.depth from enrollments e join contacts c on c.id = e.contact_id",
}
_DIGEST = """
select count(*), md5(coalesce(string_agg(md5(r::text), '' order by r::text), ''))
  from ({rows} where c.account_id = $1) r
"""


async def row_digests(testbed: Testbed, account: UUID) -> dict[str, tuple[int, str]]:
    """By table: the number of rows, and a digest of all of them in order."""
    digests = {}
    for table, rows in _ROWS.items():
        [(count, digest)] = await testbed.admin.fetch(_DIGEST.replace("{rows}", rows), account)
        digests[table] = (count, digest)
    return digests


def differences(first: dict[str, tuple[int, str]], second: dict[str, tuple[int, str]]) -> list[str]:
    """A line for each table whose rows differ."""
    return [
        f"{table}: {first[table][0]} and {second[table][0]} rows"
        + (", with different contents" if first[table][0] == second[table][0] else "")
        for table in first
        if first[table] != second[table]
    ]
