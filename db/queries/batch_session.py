"""`BatchSession` reads and writes whole batches with arrays, in the session's account; the statements here
are those that several parts of the engine share.

`unnest` with one array per column is about ten times as fast as rows through the ORM. Casts are written
`cast(:x as …)`, because SQLAlchemy would read `:x::…` as part of the parameter's name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from app.filters.fields import BUILT_IN, TEXT_FIELDS
from db.queries.array_params import columns, reading_text

WRITABLE_FIELDS = tuple(key for key in TEXT_FIELDS if BUILT_IN[key].writable)
# Consents that a step may change too; UPDATE_CONTACTS has an expression of its own for each.
CONSENT_FIELDS = ("email_consent", "sms_consent")
CONTACT_COLUMNS = (*TEXT_FIELDS, "owner", *CONSENT_FIELDS, "created_at", "updated_at")
_COLUMN = {"owner": "cast(owner_id as text) as owner"}

FIND_DUE_ACCOUNTS = text(
    "select account_id, oldest from due_accounts(clock_timestamp() + cast(:ahead as interval))"
)

SET_PLAN_MODE = text("select set_config('plan_cache_mode', :mode, true)")
TRY_MATCHER_LOCK = text(
    "select pg_try_advisory_xact_lock(hashtextextended('match:' || current_account()::text, 0))"
)
TAKE_MATCHER_LOCK = text(
    "select pg_advisory_xact_lock(hashtextextended('match:' || current_account()::text, 0))"
)
READ_ACCOUNT = text("select name, time_zone, default_region from accounts where id = current_account()")
READ_CUSTOM_FIELDS = text("""
select id, key, label, type, options from custom_fields where account_id = current_account() order by id
""").columns(options=JSONB)
READ_LIVE_WORKFLOWS = text("""
select id, name, status, live_version from workflows
 where account_id = current_account() and live_version is not null and status in ('active', 'paused')
 order by created_at, id
""")
READ_VERSION_DOCUMENTS = text("""
select v.workflow_id, v.number, v.document from workflow_versions v
  join unnest(cast(:workflows as uuid[]), cast(:numbers as int[])) w(workflow_id, number)
    on w.workflow_id = v.workflow_id and w.number = v.number
 where v.account_id = current_account()
""").columns(document=JSONB)
_CONTACTS_BY_ID = f"""
select id, {", ".join(_COLUMN.get(name, name) for name in CONTACT_COLUMNS)}, fields from contacts
 where account_id = current_account() and id = any(cast(:ids as uuid[])) and deleted_at is null order by id
"""  # noqa: S608 -- the names are our own columns
READ_CONTACTS = text(_CONTACTS_BY_ID).columns(fields=JSONB)
LOCK_CONTACTS = text(_CONTACTS_BY_ID + " for no key update").columns(fields=JSONB)
READ_DELETED_CONTACTS = text(_CONTACTS_BY_ID.replace("deleted_at is null", "deleted_at is not null")).columns(
    fields=JSONB
)
READ_CONTACT_TAGS = text("""
select contact_id, array_agg(tag_id) as tags from contact_tags
 where account_id = current_account() and contact_id = any(cast(:ids as uuid[])) group by 1
""")

INSERT_EVENTS = text("""
insert into events (id, kind, subject_id, source, data, root_event_id, depth, occurred_at)
select v.id, v.kind, v.subject_id, v.source, cast(v.data as jsonb), v.root_event_id, v.depth,
       cast(:now as timestamptz)
  from unnest(cast(:id as uuid[]), cast(:kind as text[]), cast(:subject_id as uuid[]),
              cast(:source as text[]), cast(:data as text[]), cast(:root_event_id as uuid[]),
              cast(:depth as int[]))
       v(id, kind, subject_id, source, data, root_event_id, depth)
""")
INSERT_AUDIT_ENTRIES = text("""
insert into audit_logs
       (id, occurred_at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, changes)
select v.id, cast(:now as timestamptz), 'step', v.actor_id, v.actor_name, v.action, 'contact', v.subject_id,
       cast(v.changes as jsonb)
  from unnest(cast(:id as uuid[]), cast(:actor_id as text[]), cast(:actor_name as text[]),
              cast(:action as text[]), cast(:subject_id as text[]), cast(:changes as text[]))
       v(id, actor_id, actor_name, action, subject_id, changes)
""")


StructT = TypeVar("StructT")


class BatchSession:
    """Reads and writes whole batches. The caller owns the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def all(self, statement: Any, **values: Any) -> Sequence[Any]:
        return (await self.session.execute(statement, values)).all()

    async def structs(self, struct: Callable[..., StructT], statement: Any, **values: Any) -> list[StructT]:
        """Rows as structs whose fields are the statement's columns, in order. Reading a field of a struct is
        faster than reading a column of a row."""
        return [struct(*row) for row in (await self.session.execute(statement, values)).all()]

    async def planned(self, statement: Any, **values: Any) -> Sequence[Any]:
        """Like `all`, but plans the statement anew: a plan cached when a table was small would scan the whole
        table. Not for writes: the checks of foreign keys would be planned anew for each row."""
        await self.session.execute(SET_PLAN_MODE, {"mode": "force_custom_plan"})
        rows = await self.all(statement, **values)
        await self.session.execute(SET_PLAN_MODE, {"mode": "auto"})
        return rows

    async def do(self, statement: TextClause, **values: Any) -> None:
        await self.session.execute(statement, values)

    async def insert(
        self, statement: TextClause, rows: Sequence[Mapping[str, Any]], **values: Any
    ) -> Sequence[Any]:
        """Runs the statement for rows that all have the same columns; returns its rows, or () without
        rows."""
        if not rows:
            return ()
        reading, texts = reading_text(statement)
        result = await self.session.execute(reading, columns(rows, texts) | values)
        return result.all() if isinstance(result, CursorResult) and result.returns_rows else ()

    async def try_matcher_lock(self) -> bool:
        """Tries to take the matcher lock of the account until the transaction ends: one worker at a time
        matches."""
        return bool((await self.session.execute(TRY_MATCHER_LOCK)).scalar_one())

    async def take_matcher_lock(self) -> None:
        """Waits for the matcher lock of the account."""
        await self.session.execute(TAKE_MATCHER_LOCK)


async def due_accounts(engine: AsyncEngine, ahead: Any) -> list[UUID]:
    """Accounts with something due, the longest waiting first. `ahead` (timedelta) is added to the clock by
    tests.

    This is the engine's only query across accounts; it calls a definer function that returns nothing else."""
    async with engine.connect() as connection:
        rows = (await connection.execute(FIND_DUE_ACCOUNTS, {"ahead": ahead})).all()
    return [row.account_id for row in rows]


__all__ = ["BatchSession", "due_accounts"]
