"""A unit of work in one account: its transaction, repositories, audit log, events and background jobs.

`open_work` starts one; `Work.commit` ends it. Use cases and screens get a database session in no other
way."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from app.account_places import Turn
from app.errors import Forbidden
from app.fault_hook import Boundary, commit
from app.json_types import Json
from app.permissions import Permission, Role
from app.ports import TurnName
from app.runtime import Runtime
from db.ids import uuid7
from db.models import AuditLog, Event, Job
from db.repositories.accounts import AccountRepository
from db.repositories.approvals import ApprovalRepository
from db.repositories.audit_log import AuditRepository
from db.repositories.contacts import ContactRepository
from db.repositories.effects import EffectRepository
from db.repositories.enrollments import EnrollmentRepository, MoveRepository, VisitRepository
from db.repositories.fields import FieldRepository
from db.repositories.imports import ImportRepository
from db.repositories.invitations import InvitationRepository
from db.repositories.jobs import JobRepository
from db.repositories.mailbox import MailboxRepository
from db.repositories.members import MemberRepository
from db.repositories.notes_tasks import NoteRepository, TaskRepository
from db.repositories.notifications import NotificationRepository
from db.repositories.segments import SegmentRepository
from db.repositories.tags import TagRepository
from db.repositories.tokens import TokenRepository
from db.repositories.workflows import RevisionRepository, VersionRepository, WorkflowRepository
from db.tenancy import begin

Changes: TypeAlias = "Mapping[str, Sequence[Json | Sequence[str]]]"  # field name to [from, to]
Source = Literal["user", "api", "bulk", "import", "workflow", "system"]
SOURCES: dict[str, Source] = {
    "member": "user",
    "contact": "user",
    "token": "api",
    "step": "workflow",
    "import": "import",
    "system": "system",
}


class Actor(msgspec.Struct, frozen=True):
    """The actor of a change: a member, a token, a workflow step, an import, a contact through a
    link, or the system."""

    kind: Literal["member", "token", "step", "import", "contact", "system"]
    id: str
    name: str


SYSTEM = Actor("system", "", "Switchyard")


class Caller(msgspec.Struct, frozen=True):
    """Whose call it is, as the rate limits count: an account, and the session or access token."""

    account_id: UUID
    credential_id: UUID | None


class Principal(msgspec.Struct, frozen=True):
    """A signed-in user in one account, with the permissions they have now."""

    user_id: UUID
    email: str
    name: str
    account_id: UUID
    account_name: str
    role: Role
    session_id: UUID | None = None
    token_id: UUID | None = None
    permissions: frozenset[Permission] = frozenset()
    time_zone: str = "UTC"  # of the account

    @property
    def caller(self) -> Caller:
        return Caller(self.account_id, self.token_id or self.session_id)

    @property
    def actor(self) -> Actor:
        if self.token_id is not None:
            return Actor("token", str(self.token_id), self.name)
        return Actor("member", str(self.user_id), self.name)


class Work:
    """A unit of work. `now` is the database's clock (aware, UTC) plus an offset that only tests set.

    Nothing is saved unless `commit()` is called. Workers are notified after the commit."""

    def __init__(
        self,
        runtime: Runtime,
        session: AsyncSession,
        actor: Actor,
        *,
        principal: Principal | None = None,
        request_id: str | None = None,
    ) -> None:
        self.runtime, self.session, self.actor = runtime, session, actor
        self.principal, self.request_id = principal, request_id
        self.account_id: UUID = session.info["account_id"]
        self.turn: Turn | None = None  # the places that a request holds until this ends
        self._due_tasks: dict[TurnName, None] = {}
        self._closed = False

    @property
    def now(self) -> datetime:
        moment: datetime = self.session.info["now"]
        return moment + self.runtime.clock.offset

    def require_principal(self) -> Principal:
        """The signed-in caller. Raises `Forbidden` for a background job, which has none."""
        if self.principal is None:
            raise Forbidden("Only a signed-in user can do this.")
        return self.principal

    def may(self, permission: Permission) -> bool:
        return self.principal is not None and permission in self.principal.permissions

    def audit(
        self,
        action: str,
        subject_kind: str,
        subject_id: object,
        changes: "Changes | None" = None,
        rev: int | None = None,
    ) -> None:
        """Add an audit entry in this transaction. `changes` is field name to [from, to], `rev` the revision
        of the contact that the change brought."""
        self.session.add(
            AuditLog(
                id=uuid7(),
                account_id=self.account_id,
                occurred_at=self.now,
                actor_kind=self.actor.kind,
                actor_id=self.actor.id,
                actor_name=self.actor.name,
                action=action,
                subject_kind=subject_kind,
                subject_id=str(subject_id),
                changes={name: list(pair) for name, pair in (changes or {}).items()},
                request_id=self.request_id,
                rev=rev,
            )
        )

    def emit(
        self,
        kind: str,
        subject_id: UUID,
        data: "Mapping[str, Json | Changes] | None" = None,
        source: Source | None = None,
    ) -> UUID:
        """Add an event that no other event caused; returns its id. Triggers and goals see it after the
        commit."""
        event_id = uuid7()
        self.session.add(
            Event(
                id=event_id,
                account_id=self.account_id,
                kind=kind,
                subject_id=subject_id,
                source=source or SOURCES[self.actor.kind],
                data=dict(data or {}),
                root_event_id=event_id,
                occurred_at=self.now,
            )
        )
        self.notify_worker("match")
        return event_id

    def add_job(
        self, queue: str, task: str, args: Mapping[str, Json], total: int = 0, after: timedelta = timedelta()
    ) -> UUID:
        """Add a durable job, which a worker runs in the name of this actor; returns its id. `after` delays
        it, so that it runs after jobs that are added at the same time."""
        job = Job(
            id=uuid7(),
            account_id=self.account_id,
            queue=queue,
            task=task,
            args=dict(args),
            due_at=self.now + after,
            total=total,
            actor_kind=self.actor.kind,
            actor_id=self.actor.id,
            actor_name=self.actor.name,
        )
        self.session.add(job)
        self.notify_worker("jobs")
        return job.id

    def notify_worker(self, task: TurnName, *others: TurnName) -> None:
        """Enqueue a turn of these tasks after the commit: this account has due work of them."""
        self._due_tasks.update(dict.fromkeys((task, *others)))

    async def commit(self) -> None:
        """Commit, then enqueue the turns that wait for the commit. The last call of a use case; a statement
        after it begins another transaction, and `now` is the time at which that began."""
        await commit(self.session, Boundary.WORK)
        due_tasks, self._due_tasks = list(self._due_tasks), {}
        for task in due_tasks:
            await self.runtime.enqueue(task, self.account_id)

    async def pause(self) -> None:
        """Roll back, and hold neither a connection nor a place of the account until `resume`. Before a wait
        for another request."""
        await self.session.rollback()
        if self.turn is not None:
            self.turn.give_back()

    async def resume(self) -> None:
        """Wait for the places again that `pause` gave back; without a pause it does nothing."""
        if self.turn is not None:
            await self.turn.take()

    async def close(self) -> None:
        """Roll back what was not committed, and give the connection back. A second call does nothing."""
        if not self._closed:
            self._closed = True
            try:
                await close_session(self.session)
            finally:
                if self.turn is not None:
                    self.turn.give_back()

    @cached_property
    def accounts(self) -> AccountRepository:
        return AccountRepository(self.session)

    @cached_property
    def members(self) -> MemberRepository:
        return MemberRepository(self.session)

    @cached_property
    def invitations(self) -> InvitationRepository:
        return InvitationRepository(self.session)

    @cached_property
    def tokens(self) -> TokenRepository:
        return TokenRepository(self.session)

    @cached_property
    def audit_log(self) -> AuditRepository:
        return AuditRepository(self.session)

    @cached_property
    def contacts(self) -> ContactRepository:
        return ContactRepository(session=self.session)

    @cached_property
    def tags(self) -> TagRepository:
        return TagRepository(session=self.session)

    @cached_property
    def segments(self) -> SegmentRepository:
        return SegmentRepository(session=self.session)

    @cached_property
    def notes(self) -> NoteRepository:
        return NoteRepository(session=self.session)

    @cached_property
    def tasks(self) -> TaskRepository:
        return TaskRepository(session=self.session)

    @cached_property
    def fields(self) -> FieldRepository:
        return FieldRepository(session=self.session)

    @cached_property
    def imports(self) -> ImportRepository:
        return ImportRepository(session=self.session)

    @cached_property
    def workflows(self) -> WorkflowRepository:
        return WorkflowRepository(session=self.session)

    @cached_property
    def revisions(self) -> RevisionRepository:
        return RevisionRepository(session=self.session)

    @cached_property
    def versions(self) -> VersionRepository:
        return VersionRepository(session=self.session)

    @cached_property
    def enrollments(self) -> EnrollmentRepository:
        return EnrollmentRepository(session=self.session)

    @cached_property
    def visits(self) -> VisitRepository:
        return VisitRepository(session=self.session)

    @cached_property
    def moves(self) -> MoveRepository:
        return MoveRepository(session=self.session)

    @cached_property
    def effects(self) -> EffectRepository:
        return EffectRepository(session=self.session)

    @cached_property
    def approvals(self) -> ApprovalRepository:
        return ApprovalRepository(session=self.session)

    @cached_property
    def notifications(self) -> NotificationRepository:
        return NotificationRepository(session=self.session)

    @cached_property
    def jobs(self) -> JobRepository:
        return JobRepository(session=self.session)

    @cached_property
    def mailbox(self) -> MailboxRepository:
        return MailboxRepository(session=self.session)


@asynccontextmanager
async def open_work(
    runtime: Runtime,
    account_id: UUID,
    actor: Actor,
    *,
    principal: Principal | None = None,
    request_id: str | None = None,
    statement_seconds: float | None = None,
) -> AsyncIterator[Work]:
    """Open a unit of work in one account. Uncommitted changes are rolled back when the block ends. A
    statement that takes longer than `statement_seconds` is stopped (0 never); None leaves PostgreSQL's own
    setting."""
    async with runtime.sessions() as session:
        session.info["account_id"] = account_id
        session.info["user_id"] = principal.user_id if principal else None
        session.info["catalogs"] = runtime.catalogs
        session.info["statement_seconds"] = statement_seconds
        await begin(session)
        yield Work(runtime, session, actor, principal=principal, request_id=request_id)


async def close_session(session: AsyncSession) -> None:
    """End a session that no block holds. A caller that is canceled meanwhile doesn't keep its connection."""
    await asyncio.shield(asyncio.create_task(session.close()))
