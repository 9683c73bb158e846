"""Enrollments of the demo's workflows: `sample_enrollments` generates them, `write_histories` inserts them.

They contain what the engine decides when it is called at generated times of the last days, so the engine
continues them like any other enrollment."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.advance import advance
from app.engine.core.triggers import TagAdded
from app.engine.core.types import Decision, EffectState, EnrollmentState, Status
from app.engine.core.version import Program
from app.filters.facts import Facts, contact_values
from db.models import Base, Event, MailboxMessage, TriggerDecision
from db.models import Effect as EffectRow
from db.models import Enrollment as EnrollmentRow
from db.models import EnrollmentExecution as ExecutionRow
from db.queries.counters import make_unknown
from db.queries.statements import execute
from db.seeds.contacts import SampleContact, field_id, tag_id, write_contact_tags
from db.seeds.sample_text import EFFECT, ENROLLMENT, EVENT, MAIL, fixed

ACCOUNT = 1
SENDER = "no-reply@switchyard.test"
QUIET = timedelta(hours=8)  # no enrollment becomes due in the first hours of the demo
LATER = timedelta(hours=5)
REFUSED = EffectState("failed_permanent", None, "550 5.1.1 mailbox unavailable")
DOUBT = EffectState("unknown", None, "The worker stopped while sending, so this may have been sent.")
SENT = EffectState("sent", None, None, {"response": "250 Message accepted for delivery"})

_UPDATE_PLANS = text("""
update contacts set fields = cast(v.fields as jsonb)
  from unnest(cast(:id as uuid[]), cast(:fields as text[])) v(id, fields)
 where contacts.account_id = current_account() and contacts.id = v.id
""")


@dataclass
class HistoryRows:
    """The rows to write, by table."""

    events: list[Event] = field(default_factory=list)
    decisions: list[TriggerDecision] = field(default_factory=list)
    enrollments: list[EnrollmentRow] = field(default_factory=list)
    executions: list[ExecutionRow] = field(default_factory=list)
    effects: list[EffectRow] = field(default_factory=list)
    tags: list[tuple[UUID, UUID]] = field(default_factory=list)  # contact and tag
    plans: list[SampleContact] = field(default_factory=list)  # contacts whose plan changed


@dataclass
class SampleEnrollment:
    """One contact's enrollment, from `at` until it ends or waits for a time after `now`."""

    program: Program
    contact: SampleContact
    number: int
    at: datetime
    now: datetime
    first: EffectState = SENT
    goal: bool = False

    def __post_init__(self) -> None:
        values = contact_values(dict(self.contact.columns), dict(self.contact.fields))
        tags = {tag_id(ACCOUNT, name) for name in self.contact.tags}
        self.facts = Facts(values, tags, ZoneInfo("UTC"), self.contact.id, "Acme")
        self.state = EnrollmentState(fixed(ENROLLMENT, self.number), self.contact.id)
        self.entered, self.status = self.at, Status.ACTIVE
        self.executions: dict[int, ExecutionRow] = {}
        self.effects: dict[int, EffectRow] = {}
        self.tagged: set[UUID] = set()
        self.last: Decision | None = None
        self.chose = False

    def live(self) -> None:
        """Advances the enrollment until it ends or waits for a time after `now`."""
        running = True
        while running:
            decision = self._step()
            if decision.status is not Status.ACTIVE:
                running = False
            elif decision.wait_reason in ("effect", "hold"):
                running = self._answered()
            elif self.goal and not self.chose and self.at + LATER < self.now:
                self._choose()
            elif decision.wait_until is None or decision.wait_until > self.now:
                running = False
            else:
                self.at = decision.wait_until

    def _choose(self) -> None:
        """Gives the contact the pro plan, which meets the goal at any step."""
        self.chose, self.at = True, self.at + LATER
        plan = str(field_id(ACCOUNT, 0))
        self.facts.values[f"custom.{plan}"] = self.contact.fields[plan] = "pro"

    def _step(self) -> Decision:
        decision = advance(self.program, self.state, self.facts, self.at)
        for execution in decision.executions:
            self.executions[execution.seq] = ExecutionRow(
                enrollment_id=self.state.id, seq=execution.seq, step_key=execution.step_key,
                kind=execution.kind, started_at=execution.started, finished_at=execution.finished,
                outcome=execution.outcome, detail=execution.detail, error=execution.error,
            )  # fmt: skip
        for closed in decision.closed:
            row = self.executions[closed.seq]
            row.finished_at, row.outcome, row.error = closed.finished, closed.outcome, closed.error
            row.detail = {**row.detail, **closed.detail}
        for effect in decision.effects:
            self.effects[effect.seq] = EffectRow(
                id=fixed(EFFECT, self.number * 10 + effect.seq), enrollment_id=self.state.id,
                seq=effect.seq, workflow_id=self.program.version.workflow_id, contact_id=self.contact.id,
                step_key=effect.step_key, kind=effect.kind, payload=effect.payload,
                idempotency_key=effect.idempotency_key, on_doubt=effect.on_doubt, created_at=self.at,
            )  # fmt: skip
        self.tagged |= decision.tags_added
        self.status, self.last = decision.status, decision
        self.state = replace(
            self.state, step_key=decision.step_key, seq=decision.seq, wait_reason=decision.wait_reason,
            wait_until=decision.wait_until, goal_key=decision.goal_key, effect=None,
        )  # fmt: skip
        return decision

    def _answered(self) -> bool:
        """Records the outcome of the effect after two seconds; False when the effect is in doubt."""
        row = self.effects[self.state.seq]
        if row.status == "unknown":
            return False
        outcome, self.first = self.first, SENT
        started_at, self.at = self.at, self.at + timedelta(seconds=2)
        row.status, row.error, row.result = outcome.status, outcome.error, outcome.detail or None
        row.attempts, row.due_at, row.started_at = 1, started_at, started_at
        row.sent_at = self.at if outcome.status == "sent" else None
        self.state = replace(self.state, effect=outcome)
        return True

    def note(self, rows: HistoryRows) -> None:
        """Adds the rows of this enrollment to `rows`."""
        last, version = self.last, self.program.version
        if last is None:
            return
        event_id = fixed(EVENT, self.number)
        rows.events.append(Event(
            id=event_id, kind="tag.added", subject_id=self.contact.id, source="bulk",
            data={"tag_id": str(self._tag())}, root_event_id=event_id, occurred_at=self.entered,
            matched_at=self.entered,
        ))  # fmt: skip
        rows.decisions.append(TriggerDecision(
            event_id=event_id, workflow_id=version.workflow_id, version=version.number,
            contact_id=self.contact.id, verdict="enrolled", decided_at=self.entered,
            detail={"source": "bulk"},
        ))  # fmt: skip
        rows.enrollments.append(EnrollmentRow(
            id=self.state.id, workflow_id=version.workflow_id, version=version.number,
            contact_id=self.contact.id, event_id=event_id, root_event_id=event_id, status=self.status,
            step_key=last.step_key, seq=last.seq, due_at=last.due_at, wait_until=last.wait_until,
            wait_reason=last.wait_reason, exit_reason=last.exit_reason, goal_key=last.goal_key,
            error=last.error, entered_at=self.entered, updated_at=self.at,
            ended_at=None if self.status is Status.ACTIVE else self.at,
        ))  # fmt: skip
        rows.executions += self.executions.values()
        rows.effects += self.effects.values()
        rows.tags += [(self.contact.id, tag) for tag in sorted(self.tagged)]
        if self.chose:
            rows.plans.append(self.contact)

    def _tag(self) -> UUID:
        return next(
            trigger.tag
            for trigger in self.program.version.triggers
            if isinstance(trigger, TagAdded) and trigger.tag
        )


def sample_enrollments(
    programs: dict[str, Program], contacts: Sequence[SampleContact], now: datetime
) -> list[SampleEnrollment]:
    """Enrolls the contacts that have a workflow's tag, during the last days. One email is refused, one is in
    doubt."""
    dice = random.Random("histories")  # noqa: S311 -- the demo is the same every time
    plan, entries = str(field_id(ACCOUNT, 0)), list[tuple[float, str, SampleContact, bool]]()
    for tag in programs:
        tagged = [contact for contact in contacts if tag in contact.tags]
        tagged = [contact for contact in tagged if tag != "trial" or contact.fields[plan] != "pro"]
        for contact in tagged[:160]:
            hours = min(dice.uniform(8, 9 * 24), dice.uniform(8, 9 * 24))
            entries.append((hours, tag, contact, tag == "trial" and dice.random() < 0.3))
    entries.sort(key=lambda entry: -entry[0])
    histories = [
        SampleEnrollment(programs[tag], contact, number, now - timedelta(hours=hours), now, goal=goal)
        for number, (hours, tag, contact, goal) in enumerate(entries)
    ]
    histories[-4].first, histories[-9].first = REFUSED, DOUBT
    for history in histories:
        history.live()
    return [history for history in histories if history.last is not None and _quiet(history.last, now)]


def _quiet(last: Decision, now: datetime) -> bool:
    return last.due_at is None or last.due_at > now + QUIET


def mails(effects: Sequence[EffectRow]) -> list[MailboxMessage]:
    """The messages that the demo's mail server would have caught, oldest first."""
    sent = [(row.sent_at, row) for row in effects if row.kind == "email" and row.sent_at is not None]
    sent.sort(key=lambda pair: pair[0])
    return [_mail(number, row, sent_at) for number, (sent_at, row) in enumerate(sent)]


def _mail(number: int, row: EffectRow, sent_at: datetime) -> MailboxMessage:
    payload = {name: str(value or "") for name, value in row.payload.items()}
    key = f"<{row.idempotency_key.replace(':', '.')}@switchyard.test>"
    sender = f"{payload.get('from_name') or 'Switchyard'} <{SENDER}>"
    subject = payload.get("subject", "")
    return MailboxMessage(
        id=fixed(MAIL, number), message_id=key, sender=sender, recipient=payload["to"], subject=subject,
        body=payload.get("body", ""), received_at=sent_at,
        headers={
            "From": sender, "To": payload["to"], "Subject": subject, "Message-ID": key,
            "X-Switchyard-Key": row.idempotency_key,
        },
    )  # fmt: skip


async def write_histories(session: AsyncSession, histories: Sequence[SampleEnrollment]) -> None:
    """Writes all rows of these enrollments, a table at a time."""
    rows = HistoryRows()
    for history in histories:
        history.note(rows)
    tables: tuple[Sequence[Base], ...] = (
        rows.events, rows.decisions, rows.enrollments, rows.executions, rows.effects, mails(rows.effects),
    )  # fmt: skip
    for table_rows in tables:
        session.add_all(table_rows)
        await session.flush()
    await make_unknown(session, "enrollments", "visits")
    await write_contact_tags(session, rows.tags, session.info["now"])
    await execute(
        session,
        _UPDATE_PLANS,
        id=[contact.id for contact in rows.plans],
        fields=[msgspec.json.encode(contact.fields).decode() for contact in rows.plans],
    )
