"""Enrollments of the demo's workflows: `sample_enrollments` generates them, `write_histories` inserts them.

They contain what the engine decides when it is called at generated times of the last days, so the engine
continues them like any other enrollment."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.engine.core.advance import advance
from app.engine.core.triggers import TagAdded
from app.engine.core.types import Decision, EffectState, EnrollmentState, Status
from app.engine.core.version import Program
from app.filters.facts import Facts, contact_values
from db.models import Contact, Event, MailboxMessage, TriggerDecision
from db.models import Effect as EffectRow
from db.models import Enrollment as EnrollmentRow
from db.models import EnrollmentExecution as ExecutionRow
from db.seeds.contacts import INSERT_CONTACT_TAGS, SampleContact, field_id, tag_id
from db.seeds.sample_text import EFFECT, ENROLLMENT, EVENT, MAIL, fixed

ACCOUNT = 1
SENDER = "no-reply@switchyard.test"
QUIET = timedelta(hours=8)  # no enrollment becomes due in the first hours of the demo
LATER = timedelta(hours=5)
REFUSED = EffectState("failed_permanent", None, "550 5.1.1 mailbox unavailable")
DOUBT = EffectState("unknown", None, "The worker stopped while sending, so this may have been sent.")
SENT = EffectState("sent", None, None, {"response": "250 Message accepted for delivery"})
Row = dict[str, Any]


@dataclass
class HistoryRows:
    """The rows to write, by table."""

    events: list[Row] = field(default_factory=list)
    decisions: list[Row] = field(default_factory=list)
    enrollments: list[Row] = field(default_factory=list)
    executions: list[Row] = field(default_factory=list)
    effects: list[Row] = field(default_factory=list)
    tags: list[Row] = field(default_factory=list)
    plans: list[Row] = field(default_factory=list)


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
        self.executions: dict[int, Row] = {}
        self.effects: dict[int, Row] = {}
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
            self.executions[execution.seq] = {
                "seq": execution.seq, "step_key": execution.step_key, "kind": execution.kind,
                "started_at": execution.started, "finished_at": execution.finished,
                "outcome": execution.outcome, "detail": execution.detail, "error": execution.error,
            }  # fmt: skip
        for closed in decision.closed:
            row = self.executions[closed.seq]
            row |= {"finished_at": closed.finished, "outcome": closed.outcome, "error": closed.error}
            row["detail"] = {**row["detail"], **closed.detail}
        for effect in decision.effects:
            self.effects[effect.seq] = {
                "seq": effect.seq, "step_key": effect.step_key, "kind": effect.kind,
                "payload": effect.payload, "idempotency_key": effect.idempotency_key,
                "on_doubt": effect.on_doubt, "created_at": self.at,
            }  # fmt: skip
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
        if row.get("status") == "unknown":
            return False
        outcome, self.first = self.first, SENT
        started_at, self.at = self.at, self.at + timedelta(seconds=2)
        row |= {
            "status": outcome.status, "error": outcome.error, "attempts": 1, "due_at": started_at,
            "started_at": started_at, "sent_at": self.at if outcome.status == "sent" else None,
            "result": outcome.detail or None,
        }  # fmt: skip
        self.state = replace(self.state, effect=outcome)
        return True

    def note(self, rows: HistoryRows, account_id: UUID) -> None:
        """Adds the rows of this enrollment to `rows`."""
        last, version = self.last, self.program.version
        if last is None:
            return
        event_id, account = fixed(EVENT, self.number), {"account_id": account_id}
        enrollment = account | {"enrollment_id": self.state.id}
        ended = None if self.status is Status.ACTIVE else self.at
        rows.events.append(account | {
            "id": event_id, "kind": "tag.added", "subject_id": self.contact.id, "source": "bulk",
            "data": {"tag_id": str(self._tag())}, "root_event_id": event_id, "occurred_at": self.entered,
            "matched_at": self.entered,
        })  # fmt: skip
        rows.decisions.append(account | {
            "event_id": event_id, "workflow_id": version.workflow_id, "version": version.number,
            "contact_id": self.contact.id, "verdict": "enrolled", "decided_at": self.entered,
            "detail": {"source": "bulk"},
        })  # fmt: skip
        rows.enrollments.append(account | {
            "id": self.state.id, "workflow_id": version.workflow_id, "version": version.number,
            "contact_id": self.contact.id, "event_id": event_id, "root_event_id": event_id,
            "status": self.status, "step_key": last.step_key, "seq": last.seq, "due_at": last.due_at,
            "wait_until": last.wait_until, "wait_reason": last.wait_reason, "exit_reason": last.exit_reason,
            "goal_key": last.goal_key, "error": last.error, "entered_at": self.entered, "ended_at": ended,
            "updated_at": self.at,
        })  # fmt: skip
        rows.executions += [enrollment | row for row in self.executions.values()]
        ids = {"workflow_id": version.workflow_id, "contact_id": self.contact.id}
        rows.effects += [
            enrollment | ids | row | {"id": fixed(EFFECT, self.number * 10 + seq)}
            for seq, row in self.effects.items()
        ]
        rows.tags += [{"contact_id": self.contact.id, "tag_id": tag} for tag in sorted(self.tagged)]
        if self.chose:
            rows.plans.append({"id": self.contact.id, "fields": self.contact.fields})

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


def mails(effects: Sequence[Row]) -> list[Row]:
    """The messages that the demo's mail server would have caught, oldest first."""
    sent = [row for row in effects if row["kind"] == "email" and row.get("status") == "sent"]
    return [_mail(number, row) for number, row in enumerate(sorted(sent, key=lambda row: row["sent_at"]))]


def _mail(number: int, row: Row) -> Row:
    payload = row["payload"]
    key = f"<{row['idempotency_key'].replace(':', '.')}@switchyard.test>"
    sender = f"{payload.get('from_name') or 'Switchyard'} <{SENDER}>"
    headers = {"From": sender, "To": payload["to"], "Subject": payload.get("subject", ""), "Message-ID": key}
    return {
        "id": fixed(MAIL, number), "account_id": row["account_id"], "message_id": key, "sender": sender,
        "recipient": payload["to"], "subject": payload.get("subject", ""), "body": payload.get("body", ""),
        "headers": headers | {"X-Switchyard-Key": row["idempotency_key"]}, "received_at": row["sent_at"],
    }  # fmt: skip


async def write_histories(session: AsyncSession, histories: Sequence[SampleEnrollment]) -> None:
    """Writes all rows of these enrollments, one statement per table."""
    rows, account_id = HistoryRows(), session.info["account_id"]
    for history in histories:
        history.note(rows, account_id)
    tables: tuple[tuple[Any, list[Row]], ...] = (
        (Event, rows.events),
        (TriggerDecision, rows.decisions),
        (EnrollmentRow, rows.enrollments),
        (ExecutionRow, rows.executions),
        (EffectRow, rows.effects),
        (MailboxMessage, mails(rows.effects)),
    )
    for table, table_rows in tables:
        if table_rows:
            await session.execute(insert(table), table_rows)
    pairs = {name: [row[name] for row in rows.tags] for name in ("contact_id", "tag_id")}
    await session.execute(INSERT_CONTACT_TAGS, pairs | {"now": session.info["now"]})
    for row in rows.plans:
        await session.execute(
            update(Contact)
            .where(Contact.account_id == account_id, Contact.id == row["id"])
            .values(fields=row["fields"])
        )
