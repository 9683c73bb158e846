"""Owners, consents, notes, tasks and segments of the demo."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.ast import Filter, Group, Op, Predicate
from db.ids import uuid7
from db.models import Membership, Note, Segment, Task, User
from db.seeds.contacts import SampleContact, field_id, tag_id
from db.seeds.sample_text import SEGMENT, fixed

UPDATE_OWNERS = text("""
update contacts set owner_id = v.owner_id, email_consent = v.consent
  from unnest(cast(:id as uuid[]), cast(:owner_id as uuid[]), cast(:consent as text[]))
       v(id, owner_id, consent)
 where contacts.account_id = current_account() and contacts.id = v.id
""")
Rows = list[dict[str, Any]]
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
    account_id = session.info["account_id"]
    query = (
        select(User.id, User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.account_id == account_id, Membership.role != "viewer")
        .order_by(Membership.role)
    )
    members = (await session.execute(query)).all()
    await session.execute(
        UPDATE_OWNERS,
        {
            "id": [contact.id for contact in contacts],
            "owner_id": [
                members[number % 3].id if number % 3 < len(members) else None
                for number in range(len(contacts))
            ],
            "consent": [CONSENTS[number % len(CONSENTS)] for number in range(len(contacts))],
        },
    )
    await session.execute(insert(Note), _notes(account_id, contacts, members, now))
    await session.execute(insert(Task), _tasks(account_id, contacts, members, now))
    await session.execute(insert(Segment), _segments(account_id, account, now))


def _author(member: Any) -> dict[str, str]:
    return {"author_kind": "member", "author_id": str(member.id), "author_name": member.name}


def _notes(
    account_id: UUID, contacts: Sequence[SampleContact], members: Sequence[Any], now: datetime
) -> Rows:
    return [
        {
            "id": uuid7(), "account_id": account_id, "contact_id": contacts[-1 - number % 8].id, "body": body,
            "created_at": now - timedelta(days=2 * number + 1), **_author(members[number % len(members)]),
        }
        for number, body in enumerate(NOTES * 2)
    ]  # fmt: skip


def _tasks(
    account_id: UUID, contacts: Sequence[SampleContact], members: Sequence[Any], now: datetime
) -> Rows:
    rows = []
    for number, (title, days, done) in enumerate(TASKS):
        member = members[number % len(members)]
        due = None if days is None else now + timedelta(days=days)
        finished = due if done else None
        rows.append(
            {
                "id": uuid7(), "account_id": account_id, "contact_id": contacts[-1 - number].id,
                "title": title, "assignee_id": member.id, "due_at": due, "completed_at": finished,
                "completed_by": member.name if done else None, "created_at": now - timedelta(days=10),
                "updated_at": finished or now - timedelta(days=10), **_author(member),
            }
        )  # fmt: skip
    return rows


def _segments(account_id: UUID, account: int, now: datetime) -> Rows:
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
        {
            "id": fixed(SEGMENT + account, number), "account_id": account_id, "name": name,
            "slug": name.casefold(), "filter": msgspec.to_builtins(expression),
            "created_by": "Olivia Owner", "created_at": now, "updated_at": now,
        }
        for number, (name, expression) in enumerate(saved.items())
    ]  # fmt: skip
