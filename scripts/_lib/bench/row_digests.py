"""What was written, without ids and times: two ways of moving the same people must come out the same."""

from uuid import UUID

from scripts._lib.bench.testbed import Place

# Each row with the number of its person (external id); ids that differ by nature are left out.
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


async def written(place: Place, account: UUID) -> dict[str, tuple[int, str]]:
    """By table: how many rows, and a digest of all of them in order."""
    found = {}
    for table, rows in _ROWS.items():
        [(count, digest)] = await place.admin.fetch(_DIGEST.replace("{rows}", rows), account)
        found[table] = (count, digest)
    return found


def differences(one: dict[str, tuple[int, str]], other: dict[str, tuple[int, str]]) -> list[str]:
    """A line for each table where the two are not the same."""
    return [
        f"{table}: {one[table][0]} rows and {other[table][0]} rows"
        + (", not the same" if one[table][0] == other[table][0] else "")
        for table in one
        if one[table] != other[table]
    ]
