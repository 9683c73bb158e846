"""Compiled workflow versions, cached per process, and the account context of one batch. Entry point:
`AccountContext.of(work)`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog

from app.engine.core.trigger_index import TriggerIndex
from app.engine.core.version import CompileError, Program, compile_version, load_version
from app.filters.analysis import UsedHistory, used_fields, used_history
from app.filters.ast import Op, Predicate
from app.filters.evaluate import Match, compile_filter
from app.filters.facts import Facts, contact_values
from app.filters.fields import AccountNames, Fields, custom_field, field_catalog
from app.work import Work
from db.queries.batch_session import (
    CONTACT_COLUMNS,
    LOCK_CONTACTS,
    READ_ACCOUNT,
    READ_CONTACT_TAGS,
    READ_CONTACTS,
    READ_CUSTOM_FIELDS,
    READ_DELETED_CONTACTS,
    READ_LIVE_WORKFLOWS,
    READ_VERSION_DOCUMENTS,
    BatchSession,
)
from db.repositories.segments import SELECT_SEGMENT_FILTERS, filters_by_id

log = structlog.get_logger(__name__)
MOST_ACCOUNTS = 5000
Version = tuple[UUID, int]
Programs = Mapping[Version, Program | CompileError]


class WatchedSegment(msgspec.Struct, frozen=True):
    """A segment whose membership triggers workflows: its compiled filter, and what that filter reads."""

    match: Match
    asks_workflows: bool
    asks_history: UsedHistory


class _CachedAccount(msgspec.Struct):
    """What a process caches of one account. Valid as long as its custom fields and its segments' filters are
    the same (`rows`)."""

    rows: Sequence[Any]
    fields: Fields
    programs: dict[Version, Program | CompileError] = {}
    index_of: tuple[Version, ...] = ()
    index: TriggerIndex | None = None
    watched: dict[UUID, WatchedSegment | None] = {}


_accounts: dict[UUID, _CachedAccount] = {}


class LiveWorkflows(msgspec.Struct, frozen=True):
    """The live workflows: the index of their triggers, and which of them accept contacts (are not paused)."""

    index: TriggerIndex
    accepting: frozenset[UUID]


class AccountContext:
    """An account during one batch: its fields, time zone and programs. Everything in a batch happens at
    `now`."""

    def __init__(
        self, db: BatchSession, cached: _CachedAccount, name: str, zone: str, region: str, now: datetime
    ) -> None:
        self.db, self.cached, self.name, self.now = db, cached, name, now
        self.zone, self.region = ZoneInfo(zone), region
        self._live: LiveWorkflows | None = None

    @classmethod
    async def of(cls, work: Work) -> "AccountContext":
        db = BatchSession(work.session)
        name, zone, region = (await db.all(READ_ACCOUNT))[0]
        custom, segments = await db.all(READ_CUSTOM_FIELDS), await db.all(SELECT_SEGMENT_FILTERS)
        rows = [*custom, *segments]
        cached = _accounts.get(work.account_id)
        if cached is None or cached.rows != rows:
            if len(_accounts) > MOST_ACCOUNTS:
                _accounts.clear()
            fields = field_catalog(
                (custom_field(row.id, row.key, row.label, row.type, row.options) for row in custom),
                AccountNames(filters=filters_by_id(segments)),
            )
            cached = _accounts[work.account_id] = _CachedAccount(rows, fields)
        return cls(db, cached, name, zone, region, work.now)

    async def programs(self, versions: Iterable[Version]) -> Programs:
        """Each version compiled, or the error that says why it cannot run."""
        programs = self.cached.programs
        missing = [version for version in set(versions) if version not in programs]
        if missing:
            rows = await self.db.all(
                READ_VERSION_DOCUMENTS,
                workflows=[item[0] for item in missing],
                numbers=[item[1] for item in missing],
            )
            for row in rows:
                programs[row.workflow_id, row.number] = _compile_document(row.document, self.cached.fields)
        return programs

    async def live(self) -> LiveWorkflows:
        """The live workflows, read once per batch."""
        if self._live is None:
            self._live = await self._read_live()
        return self._live

    async def _read_live(self) -> LiveWorkflows:
        rows = await self.db.all(READ_LIVE_WORKFLOWS)
        versions = tuple((row.id, row.live_version) for row in rows)
        if self.cached.index is None or self.cached.index_of != versions:
            programs = await self.programs(versions)
            ready = (programs.get(version) for version in versions)
            self.cached.index = TriggerIndex(program for program in ready if isinstance(program, Program))
            self.cached.index_of = versions
        accepting = frozenset(row.id for row in rows if row.status == "active")
        return LiveWorkflows(self.cached.index, accepting)

    async def segments(self) -> dict[UUID, WatchedSegment]:
        """The segments that triggers of live workflows name. A segment that cannot be compiled, for example
        because it names a deleted field, is left out: its members stay as they are until it is fixed."""
        index = (await self.live()).index
        watched, fields = self.cached.watched, self.cached.fields
        for segment in index.segments - watched.keys():
            watched[segment] = _compile_segment(segment, fields)
        return {segment: compiled for segment in index.segments if (compiled := watched[segment]) is not None}

    async def facts(self, contacts: Iterable[UUID], lock: Iterable[UUID] = ()) -> dict[UUID, Facts]:
        """Facts of the contacts that are not deleted. Those in `lock` are locked until the transaction ends,
        in the order of their ids, so that no two batches deadlock."""
        locked = set(lock)
        free = [contact for contact in set(contacts) if contact not in locked]
        return await self._facts(
            [
                *(await self.db.all(LOCK_CONTACTS, ids=sorted(locked)) if locked else ()),
                *(await self.db.all(READ_CONTACTS, ids=free) if free else ()),
            ]
        )

    async def deleted_facts(self, contacts: Iterable[UUID]) -> dict[UUID, Facts]:
        """Facts of deleted contacts, as they were."""
        return await self._facts(await self.db.all(READ_DELETED_CONTACTS, ids=sorted(contacts)))

    async def _facts(self, rows: Sequence[Any]) -> dict[UUID, Facts]:
        row_of = {row[0]: row for row in rows}
        tags = {contact: set(ids) for contact, ids in await self.db.all(READ_CONTACT_TAGS, ids=list(row_of))}
        return {
            contact: Facts(
                contact_values(dict(zip(CONTACT_COLUMNS, row[1:-1], strict=True)), row[-1]),
                tags.get(contact, set()),
                self.zone,
                contact,
                self.name,
                region=self.region,
            )
            for contact, row in row_of.items()
        }


def _compile_segment(segment: UUID, fields: Fields) -> WatchedSegment | None:
    membership = Predicate("segments", Op.ANY_OF, [str(segment)])
    try:
        return WatchedSegment(
            compile_filter(membership, fields),
            "workflows" in used_fields(membership, fields),
            used_history(membership, fields),
        )
    except ValueError as error:
        log.warning("segment.unreadable", segment=str(segment), error=str(error))
        return None


def _compile_document(document: Any, fields: Fields) -> Program | CompileError:
    try:
        return compile_version(load_version(document), fields)
    except CompileError as error:
        return error
    except (msgspec.MsgspecError, ValueError) as error:
        return CompileError(f"This version can't be read: {error}")
