"""Compiled workflow versions, cached per process, and the account context of one batch. Entry point:
`AccountContext.of(work)`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.trigger_index import TriggerIndex
from app.engine.core.version import CompileError, Program, compile_version, load_version
from app.filters.analysis import UsedHistory, used_fields, used_history
from app.filters.ast import Op, Predicate
from app.filters.evaluate import Match, compile_filter
from app.filters.facts import Facts, contact_values
from app.filters.fields import AccountNames, Fields, field_catalog
from app.filters.stored import decode_filters
from app.json_types import JsonObject
from app.work import Work
from db.queries.contact_batches import (
    StoredContact,
    lock_contacts,
    read_contact_tags,
    read_contacts,
    read_deleted_contacts,
)
from db.queries.programs import (
    AccountSettings,
    SegmentFilter,
    StoredField,
    field_specs,
    read_account,
    read_custom_fields,
    read_live_workflows,
    read_segment_filters,
    read_version_documents,
)

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
    the same."""

    custom: list[StoredField]
    segments: list[SegmentFilter]
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
        self, session: AsyncSession, cached: _CachedAccount, settings: AccountSettings, now: datetime
    ) -> None:
        self.session, self.cached, self.now = session, cached, now
        self.name, self.region = settings.name, settings.default_region
        self.zone = ZoneInfo(settings.time_zone)
        self._live: LiveWorkflows | None = None

    @classmethod
    async def of(cls, work: Work) -> "AccountContext":
        session = work.session
        settings = await read_account(session)
        custom, segments = await read_custom_fields(session), await read_segment_filters(session)
        cached = _accounts.get(work.account_id)
        if cached is None or cached.custom != custom or cached.segments != segments:
            if len(_accounts) > MOST_ACCOUNTS:
                _accounts.clear()
            fields = field_catalog(field_specs(custom), AccountNames(filters=decode_filters(segments)))
            cached = _accounts[work.account_id] = _CachedAccount(custom, segments, fields)
        return cls(session, cached, settings, work.now)

    async def programs(self, versions: Iterable[Version]) -> Programs:
        """Each version compiled, or the error that says why it cannot run."""
        programs = self.cached.programs
        missing = [version for version in set(versions) if version not in programs]
        if missing:
            for row in await read_version_documents(self.session, missing):
                programs[row.workflow_id, row.number] = _compile_document(row.document, self.cached.fields)
        return programs

    async def live(self) -> LiveWorkflows:
        """The live workflows, read once per batch."""
        if self._live is None:
            self._live = await self._read_live()
        return self._live

    async def _read_live(self) -> LiveWorkflows:
        rows = await read_live_workflows(self.session)
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
                *(await lock_contacts(self.session, locked) if locked else ()),
                *(await read_contacts(self.session, free) if free else ()),
            ]
        )

    async def deleted_facts(self, contacts: Iterable[UUID]) -> dict[UUID, Facts]:
        """Facts of deleted contacts, as they were."""
        return await self._facts(await read_deleted_contacts(self.session, contacts))

    async def _facts(self, contacts: Sequence[StoredContact]) -> dict[UUID, Facts]:
        tags = await read_contact_tags(self.session, [contact.id for contact in contacts])
        return {
            contact.id: Facts(
                contact_values(contact.columns, contact.custom),
                tags.get(contact.id, set()),
                self.zone,
                contact.id,
                self.name,
                region=self.region,
            )
            for contact in contacts
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


def _compile_document(document: JsonObject, fields: Fields) -> Program | CompileError:
    try:
        return compile_version(load_version(document), fields)
    except CompileError as error:
        return error
    except (msgspec.MsgspecError, ValueError) as error:
        return CompileError(f"This version can't be read: {error}")
