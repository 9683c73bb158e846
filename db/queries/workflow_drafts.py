"""Reads and writes drafts, which are rows of three tables: steps, triggers with the entry condition, and
goals. Settings and the number of the next step are columns of the workflow."""

from uuid import UUID

import msgspec
from sqlalchemy import insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.draft import Draft
from app.workflows.domain.draft_rows import ActionRow, ConditionRow, GoalRow, draft_of, rows_of
from db.models import Workflow, WorkflowAction, WorkflowCondition, WorkflowGoal
from db.queries.statements import execute, fetch_all

_READ_ACTIONS = text("""
select key, kind, config, name, list_id, position from workflow_actions
 where account_id = current_account() and workflow_id = :workflow
""").columns(config=JSONB)
_READ_CONDITIONS = text("""
select key, role, position, config from workflow_conditions
 where account_id = current_account() and workflow_id = :workflow
""").columns(config=JSONB)
_READ_GOALS = text("""
select step_key, name, config from workflow_goals
 where account_id = current_account() and workflow_id = :workflow
""").columns(config=JSONB)
# In this order: goals belong to steps.
_DELETE_ROWS = [
    text(f"delete from {table} where account_id = current_account() and workflow_id = :workflow")  # noqa: S608 -- constants
    for table in ("workflow_goals", "workflow_actions", "workflow_conditions")
]
_UPDATE_WORKFLOW = text("""
update workflows set rev = :rev, next_key = :next_key, settings = cast(:settings as jsonb),
       updated_at = clock_timestamp()
 where account_id = current_account() and id = :workflow
""")


async def read_draft(session: AsyncSession, workflow: Workflow) -> Draft:
    """The draft of a workflow."""
    return draft_of(
        await fetch_all(session, ActionRow, _READ_ACTIONS, workflow=workflow.id),
        await fetch_all(session, ConditionRow, _READ_CONDITIONS, workflow=workflow.id),
        await fetch_all(session, GoalRow, _READ_GOALS, workflow=workflow.id),
        workflow.settings,
        workflow.next_key,
    )


async def write_draft(session: AsyncSession, workflow_id: UUID, draft: Draft, rev: int) -> None:
    """Replaces the rows of a draft, and the settings of its workflow."""
    for statement in _DELETE_ROWS:
        await execute(session, statement, workflow=workflow_id)
    actions, conditions, goals = rows_of(draft)
    for model, rows in ((WorkflowAction, actions), (WorkflowCondition, conditions), (WorkflowGoal, goals)):
        if rows:
            values = [msgspec.structs.asdict(row) | {"workflow_id": workflow_id} for row in rows]
            await session.execute(insert(model), values)
    await execute(
        session,
        _UPDATE_WORKFLOW,
        workflow=workflow_id,
        rev=rev,
        next_key=draft.next_key,
        settings=msgspec.json.encode(draft.settings).decode(),
    )
