"""One account with a row of everything: what the walls are tried with and what the crawl walks over."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
import msgspec

from app.engine.core.draft import Draft
from app.engine.core.steps import MAIN, Branch, BranchLane, Goal, SendEmail, Unit, Wait
from app.engine.core.triggers import Manual, TagAdded
from app.engine.core.version import content_hash, freeze
from app.filters.ast import Op, Predicate
from app.workflows.domain.draft_edits import insert
from app.workflows.domain.draft_rows import rows_of
from db.ids import uuid7
from tests.support.world import AccountMember, World


@dataclass(frozen=True)
class Cast:
    """An owner and the ids of their rows. The one person in the workflow waits at its second step."""

    owner: AccountMember
    contact: UUID
    tag: UUID
    field: UUID
    upload: UUID
    workflow: UUID
    event: UUID
    enrollment: UUID
    effect: UUID
    job: UUID
    message: UUID
    segment: UUID
    hook: UUID
    note: UUID
    task: UUID
    approval: UUID
    notification: UUID
    invitation: UUID

    TABLES: ClassVar[tuple[str, ...]] = (
        "approvals", "audit_logs", "catalog_versions", "circuit_breakers", "contact_emails", "contact_tags",
        "contacts", "counter_deltas", "counter_states", "counters", "custom_fields", "effects",
        "enrollment_executions", "enrollment_migrations", "enrollment_moves", "enrollments", "events",
        "import_rows", "imports", "inbound_deliveries", "inbound_webhooks", "inflight_batches",
        "invitations", "jobs", "mailbox_messages", "notes", "notifications", "segment_members",
        "segments", "step_states", "tags", "tasks", "trigger_decisions", "trigger_schedules",
        "workflow_actions", "workflow_conditions", "workflow_goals", "workflow_references",
        "workflow_revisions", "workflow_versions", "workflows",
    )  # fmt: skip

    @property
    def account(self) -> UUID:
        return self.owner.account_id


async def cast_of(world: World, owner: AccountMember | None = None) -> Cast:
    """Rows of every table, written as superuser so that nothing of the app is needed for it."""
    owner = owner or await world.person("owner")
    cast = Cast(owner, *(uuid7() for _ in range(17)))
    connection = await asyncpg.connect(world.admin_url)
    await connection.set_type_codec("jsonb", encoder=encoded, decoder=json.loads, schema="pg_catalog")
    try:
        async with connection.transaction():
            rows = [*people_rows(cast), *workflow_rows(cast), *running_rows(cast), *around_rows(cast)]
            for table, row in rows:
                await add(connection, table, {"account_id": cast.account, **row})
    finally:
        await connection.close()
    return cast


def encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


async def completed(world: World, cast: Cast, times: int) -> None:
    """The contact has been through the workflow so many times before."""
    await world.sql(
        "insert into enrollments (account_id, id, workflow_id, version, contact_id, event_id, root_event_id, "
        "status, entered_at, ended_at) select account_id, gen_random_uuid(), workflow_id, version, "
        "contact_id, gen_random_uuid(), event_id, 'completed', now(), now() "
        "from enrollments, generate_series(1, $2::int) where id = $1",
        cast.enrollment, times,
    )  # fmt: skip


async def add(connection: asyncpg.Connection, table: str, row: dict[str, Any]) -> None:
    now = await connection.fetchval("select clock_timestamp()")
    values = [now + value if isinstance(value, timedelta) else value for value in row.values()]
    names = ", ".join(f'"{name}"' for name in row)
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    await connection.execute(f"insert into {table} ({names}) values ({places})", *values)  # noqa: S608 -- names of ours


NOW = timedelta()
Rows = list[tuple[str, dict[str, Any]]]


def people_rows(cast: Cast) -> Rows:
    email = f"ada-{cast.contact.hex[-8:]}@example.com"
    ada = {"first_name": "Ada", "last_name": "Lovelace", "email": email, "city": "London", "state": "CA"}
    actor = {"actor_kind": "member", "actor_id": str(cast.owner.user_id), "actor_name": cast.owner.name}
    return [
        ("custom_fields", {"id": cast.field, "key": "plan", "label": "Plan", "type": "select",
                           "options": ["free", "pro"]}),
        ("contacts", {"id": cast.contact, **ada, "fields": {str(cast.field): "pro"}}),
        ("tags", {"id": cast.tag, "name": "vip", "slug": "vip"}),
        ("contact_tags", {"contact_id": cast.contact, "tag_id": cast.tag}),
        ("imports", {"id": cast.upload, "filename": "people.csv", "status": "done", "encoding": "utf-8",
                     "content": b"email,city\nada@example.com,London\nnobody,Paris\n", "delimiter": ",",
                     "header": ["email", "city"], "mapping": {}, "rows_total": 2, "rows_checked": 2,
                     "rows_new": 1, "rows_bad": 1, "applied": 1, "finished_at": NOW}),
        ("import_rows", {"import_id": cast.upload, "line": 2, "cells": ["ada@example.com", "London"],
                         "values": {"email": "ada@example.com"}, "verdict": "new",
                         "contact_id": cast.contact, "applied_at": NOW}),
        ("import_rows", {"import_id": cast.upload, "line": 3, "cells": ["nobody", "Paris"],
                         "verdict": "bad", "reason": "“nobody” is not an email address."}),
        ("jobs", {"id": cast.job, "queue": "default", "task": "bulk_tag", "status": "failed", "total": 1,
                  "due_at": NOW, "error": "It broke.", "finished_at": NOW, **actor}),
        ("audit_logs", {"id": uuid7(), "occurred_at": NOW, "action": "contact.created", **actor,
                        "subject_kind": "contact", "subject_id": str(cast.contact)}),
        ("mailbox_messages", {"id": cast.message, "message_id": "<1@example.com>", "sender": "a@example.com",
                              "recipient": email, "subject": "Hello Ada", "body": "Welcome."}),
    ]  # fmt: skip


def draft_for(tag: UUID, goal: str = "London") -> Draft:
    """Tag added → email → wait a minute → branch on the state → goal on the city."""
    draft = Draft(triggers=[TagAdded(key="t1", tag=tag), Manual(key="t2")])
    lane = BranchLane("b1", "California", Predicate("state", Op.IS, "CA"))
    steps = (
        SendEmail(subject="Hello {{ contact.first_name }}", body="Welcome."),
        Wait(amount=1, unit=Unit.MINUTES),
        Branch(branches=[lane]),
        Goal(name="Moved", filter=Predicate("city", Op.IS, goal), on_unmet="wait"),
    )
    for config in steps:
        draft = insert(draft, MAIN, len(draft.steps), config)
    return draft


def workflow_rows(cast: Cast) -> Rows:
    draft = draft_for(cast.tag)
    version = freeze(draft, cast.workflow, 1)
    actions, conditions, goals = rows_of(draft)
    of = {"workflow_id": cast.workflow}
    revision = {"rev": 1, "operation": "created", "draft": msgspec.to_builtins(draft)}
    return [
        ("workflows", {"id": cast.workflow, "name": "Welcome", "status": "active", "rev": 1,
                       "live_version": 1, "next_key": draft.next_key,
                       "settings": msgspec.to_builtins(draft.settings)}),
        *(("workflow_actions", of | msgspec.to_builtins(row)) for row in actions),
        *(("workflow_conditions", of | msgspec.to_builtins(row)) for row in conditions),
        *(("workflow_goals", of | msgspec.to_builtins(row)) for row in goals),
        ("workflow_revisions", of | revision),
        ("workflow_versions", of | {"number": 1, "document": version, "content_hash": content_hash(version)}),
        ("workflow_references", of | {"version": 1, "kind": "tag", "target": str(cast.tag)}),
    ]  # fmt: skip


def running_rows(cast: Cast) -> Rows:
    minute = timedelta(minutes=1)
    ids = {"enrollment_id": cast.enrollment}
    event = {"id": cast.event, "kind": "tag.added", "subject_id": cast.contact, "source": "user",
             "data": {"tag_id": str(cast.tag)}, "root_event_id": cast.event, "occurred_at": NOW}  # fmt: skip
    return [
        ("events", event),
        ("trigger_decisions", {"event_id": cast.event, "workflow_id": cast.workflow, "version": 1,
                               "contact_id": cast.contact, "verdict": "enrolled", "decided_at": NOW}),
        ("enrollments", {"id": cast.enrollment, "workflow_id": cast.workflow, "version": 1,
                         "contact_id": cast.contact, "event_id": cast.event, "root_event_id": cast.event,
                         "step_key": "s2", "seq": 2, "due_at": minute, "wait_until": minute,
                         "wait_reason": "timer", "entered_at": NOW}),
        ("enrollment_executions", ids | {"seq": 1, "step_key": "s1", "kind": "send_email", "outcome": "sent",
                                         "started_at": NOW, "finished_at": NOW}),
        ("enrollment_executions", ids | {"seq": 2, "step_key": "s2", "kind": "wait", "started_at": NOW}),
        ("effects", ids | {"id": cast.effect, "seq": 1, "workflow_id": cast.workflow, "step_key": "s1",
                           "contact_id": cast.contact, "kind": "email", "status": "unknown",
                           "idempotency_key": f"{cast.enrollment}:1", "on_doubt": "hold", "due_at": NOW,
                           "payload": {"to": "ada@example.com", "to_name": "Ada", "subject": "Hello",
                                       "body": "Hi", "from_name": "", "reply_to": ""}, "attempts": 1}),
    ]  # fmt: skip


def around_rows(cast: Cast) -> Rows:
    """The rows around the one enrollment: notes, tasks, a segment, a webhook, the states of its steps."""
    day = timedelta(days=1)
    of, ids = {"workflow_id": cast.workflow}, {"enrollment_id": cast.enrollment}
    about = {"contact_id": cast.contact}
    author = {"author_kind": "member", "author_id": str(cast.owner.user_id), "author_name": cast.owner.name}
    return [
        ("notes", about | author | {"id": cast.note, "body": "Called, likes tea."}),
        ("tasks", about | author | {"id": cast.task, "title": "Call again", "due_at": day}),
        ("notifications", about | {"id": cast.notification, "user_id": cast.owner.user_id, "title": "Ada"}),
        ("segments", {"id": cast.segment, "name": "Californians", "slug": "californians",
                      "filter": {"type": "predicate", "field": "state", "op": "is", "value": "CA"}}),
        ("segment_members", about | {"segment_id": cast.segment, "entered_at": NOW}),
        ("counters", {"family": "segments", "subject_id": uuid7(), "n": 1}),
        ("inbound_webhooks", of | {"id": cast.hook, "trigger_key": "t9", "token_hash": cast.hook.bytes,
                                   "token_prefix": "wh_…"}),
        ("inbound_deliveries", {"webhook_id": cast.hook, "delivery_id": "evt_1", "event_id": cast.event}),
        ("trigger_schedules", of | {"trigger_key": "t8", "version": 1, "kind": "schedule", "next_at": day}),
        ("approvals", of | ids | about | {"id": cast.approval, "seq": 9, "step_key": "s9", "due_at": day,
                                          "question": "Call Ada?", "status": "withdrawn",
                                          "options": [{"key": "a1", "name": "Yes"}]}),
        ("circuit_breakers", of | {"step_key": "s1", "error_class": "smtp_421"}),
        ("invitations", {"id": cast.invitation, "email": f"{cast.invitation.hex}@example.com",
                         "role": "viewer", "token_hash": cast.invitation.bytes, "invited_by": "Olive",
                         "expires_at": day}),
        ("inflight_batches", {"id": uuid7(), "worker_id": uuid7(), "ids": [uuid7()]}),
        ("step_states", of | {"step_key": "s1", "state": {"turn": 1}}),
        ("enrollment_moves", ids | {"id": uuid7(), "from_version": 1, "to_version": 1, "moved_by": "Olive",
                                    "moved_at": NOW}),
        ("enrollment_migrations", ids | {"job_id": cast.job, "choice": 0}),
    ]  # fmt: skip
