"""Owners, consents, notes, tasks and segments of the demo."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.ast import Filter, Group, Op, Predicate
from db.ids import uuid7
from db.models import Note, Segment, Task
from db.queries.members import MemberRow, list_members
from db.queries.statements import execute
from db.seeds.contacts import SampleContact, field_id, tag_id
from db.seeds.sample_text import SEGMENT, fixed

_UPDATE_OWNERS = text("""
update contacts set owner_id = v.owner_id, email_consent = v.consent
  from unnest(cast(:id as uuid[]), cast(:owner_id as uuid[]), cast(:consent as text[]))
       v(id, owner_id, consent)
 where contacts.account_id = current_account() and contacts.id = v.id
""")
# No denials, because the generated enrollments send email to all of these contacts.
CONSENTS = ("granted", "unknown", "granted")
NOTES = (
    "Called: interested in the team plan, wants numbers for 25 seats.",
    "Met at the spring fair. Prefers email to phone.",
    "Renewal is decided by the finance department, ask for Mrs. Lund.",
    "Asked for a demo of the import.",
)
# Title, days until it is due, whether it is completed.
TASKS: tuple[tuple[str, int | None, bool], ...] = (
    ("Call back about the quote", 1, False),
    ("Send the contract", 3, False),
    ("Check the billing address", None, False),
    ("Prepare the yearly review", 14, False),
    ("Answer the question about imports", -4, True),
    ("Thank for the referral", -9, True),
)


async def write_notes_tasks(
    session: AsyncSession, account: int, contacts: Sequence[SampleContact], now: datetime
) -> None:
    """Writes owners for two out of three contacts, some notes and tasks, and three segments."""
    members = sorted(
        (member for member in await list_members(session) if member.role != "viewer"),
        key=lambda member: member.role,
    )
    owners = [*(member.user_id for member in members), None, None, None][:3]
    await execute(
        session,
        _UPDATE_OWNERS,
        id=[contact.id for contact in contacts],
        owner_id=[owners[number % len(owners)] for number in range(len(contacts))],
        consent=[CONSENTS[number % len(CONSENTS)] for number in range(len(contacts))],
    )
    session.add_all([*_notes(contacts, members, now), *_tasks(contacts, members, now)])
    session.add_all(_segments(account, now))
    await session.flush()


def _notes(contacts: Sequence[SampleContact], members: Sequence[MemberRow], now: datetime) -> list[Note]:
    notes = []
    for number, body in enumerate(NOTES * 2):
        member = members[number % len(members)]
        notes.append(
            Note(
                id=uuid7(), contact_id=contacts[-1 - number % 8].id, body=body, author_kind="member",
                author_id=str(member.user_id), author_name=member.name,
                created_at=now - timedelta(days=2 * number + 1),
            )
        )  # fmt: skip
    return notes


def _tasks(contacts: Sequence[SampleContact], members: Sequence[MemberRow], now: datetime) -> list[Task]:
    tasks = []
    for number, (title, days, done) in enumerate(TASKS):
        member = members[number % len(members)]
        due = None if days is None else now + timedelta(days=days)
        finished = due if done else None
        tasks.append(
            Task(
                id=uuid7(), contact_id=contacts[-1 - number].id, title=title, assignee_id=member.user_id,
                due_at=due, completed_at=finished, completed_by=member.name if done else None,
                created_at=now - timedelta(days=10), updated_at=finished or now - timedelta(days=10),
                author_kind="member", author_id=str(member.user_id), author_name=member.name,
            )
        )  # fmt: skip
    return tasks


def _segments(account: int, now: datetime) -> list[Segment]:
    renewal, plan = f"custom.{field_id(account, 2)}", f"custom.{field_id(account, 0)}"
    vip = Predicate("tags", Op.ANY_OF, [str(tag_id(account, "vip"))])
    saved: dict[str, Filter] = {
        "Californians": Group("all", [Predicate("state", Op.IS, "CA")]),
        "Renewing soon": Group(
            "all", [Predicate(renewal, Op.IN_NEXT, "30 days"), Predicate(plan, Op.NONE_OF, ["free"])]
        ),
        "Best in California": Group(
            "all", [Predicate("segments", Op.ANY_OF, [str(fixed(SEGMENT + account, 0))]), vip]
        ),
    }
    return [
        Segment(
            id=fixed(SEGMENT + account, number), name=name, slug=name.casefold(),
            filter=msgspec.to_builtins(expression), created_by="Olivia Owner", created_at=now, updated_at=now,
        )
        for number, (name, expression) in enumerate(saved.items())
    ]  # fmt: skip
