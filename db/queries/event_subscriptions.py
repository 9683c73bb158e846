"""Statements that find which on-demand events an account subscribes to."""

from sqlalchemy import text

# A JSON array of names in a document: events of event waits and email triggers, and what conditions on
# history count. A condition on workflows needs enrollment.ended.
_EVENT_NAMES_IN = """
cast(jsonb_path_query_array({0}, '$.** ? (@.kind == "email_event" || @.kind == "wait_for").event')
  || jsonb_path_query_array({0}, '$.** ? (@.field == "history").value[0]')
  || cast(case when {0} @? '$.** ? (@.field == "workflows")' then '["enrollment.ended"]' else '[]' end
          as jsonb) as text)
"""
# Versions in which enrollments may still advance.
LIST_RUNNABLE_VERSIONS = text("""
select v.workflow_id, v.number from workflow_versions v
  join workflows w on w.account_id = v.account_id and w.id = v.workflow_id
 where v.account_id = current_account() and w.status in ('active', 'paused')
""")
EVENT_NAMES_OF_VERSIONS = text(f"""
select v.workflow_id, v.number, {_EVENT_NAMES_IN.format("v.document")} as names
  from workflow_versions v
  join unnest(cast(:workflows as uuid[]), cast(:numbers as int[])) x(workflow_id, number)
    on x.workflow_id = v.workflow_id and x.number = v.number
 where v.account_id = current_account()
""")  # noqa: S608 -- constants
# All segments, whether lists or workflows use them.
EVENT_NAMES_OF_SEGMENTS = text(f"""
select {_EVENT_NAMES_IN.format("s.filter")} as names from segments s where s.account_id = current_account()
""")  # noqa: S608 -- constants
