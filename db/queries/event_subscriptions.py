"""Statements of what an account asks for among the events that are told only to who asks."""

from sqlalchemy import text

# By name: what a wait for an event and a trigger on e-mails name, what a condition on history counts;
# a condition on workflows asks for ends.
_EVENT_NAMES_IN = """
cast(jsonb_path_query_array({0}, '$.** ? (@.kind == "email_event" || @.kind == "wait_for").event')
  || jsonb_path_query_array({0}, '$.** ? (@.field == "history").value[0]')
  || cast(case when {0} @? '$.** ? (@.field == "workflows")' then '["enrollment.ended"]' else '[]' end
          as jsonb) as text)
"""
# Versions that may still be run.
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
# Whoever uses them: a list as well as a workflow.
EVENT_NAMES_OF_SEGMENTS = text(f"""
select {_EVENT_NAMES_IN.format("s.filter")} as names from segments s where s.account_id = current_account()
""")  # noqa: S608 -- constants
