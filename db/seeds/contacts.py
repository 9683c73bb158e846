"""The demo's contacts, generated the same way every time: `sample_contacts` generates them, `write_contacts`
inserts them as arrays."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import JsonObject
from db.models import CustomField, Tag
from db.queries.statements import SqlValue, execute
from db.seeds.sample_text import (
    COMPANY,
    CONTACT,
    FIELD,
    FIRST,
    LAST,
    PLACES,
    PLANS,
    STREET,
    TAG,
    TRADE,
    fixed,
)

COLUMNS = (
    "first_name", "last_name", "email", "phone", "company", "address", "city", "county", "state",
    "postal_code", "country", "website",
)  # fmt: skip
_INSERT_SAMPLES = text(f"""
insert into contacts (id, {", ".join(COLUMNS)}, fields, created_at, updated_at)
select v.id, {", ".join(f"v.{name}" for name in COLUMNS)}, cast(v.fields as jsonb), v.created_at, v.created_at
  from unnest(cast(:id as uuid[]), {", ".join(f"cast(:{name} as text[])" for name in COLUMNS)},
              cast(:fields as text[]), cast(:created_at as timestamptz[]))
       v(id, {", ".join(COLUMNS)}, fields, created_at)
""")  # noqa: S608 -- the names are constants
_INSERT_CONTACT_TAGS = text("""
insert into contact_tags (contact_id, tag_id, created_at)
select v.contact_id, v.tag_id, cast(:now as timestamptz)
  from unnest(cast(:contact_id as uuid[]), cast(:tag_id as uuid[])) v(contact_id, tag_id)
on conflict do nothing
""")
TAG_NAMES = ("vip", "newsletter", "trial", "renewal", "partner", "event 2026")
TAG_SHARES = (0.08, 0.42, 0.12, 0.10, 0.05, 0.15)


@dataclass
class SampleContact:
    """A generated contact. `fields` are by the id of the custom field, `tags` are names."""

    id: UUID
    columns: dict[str, str | None]
    fields: JsonObject
    created_at: datetime
    tags: set[str] = field(default_factory=set)


def tag_id(account: int, name: str) -> UUID:
    return fixed(TAG + account, TAG_NAMES.index(name))


def field_id(account: int, position: int) -> UUID:
    """The id of a custom field: 0 plan, 1 score, 2 renewal date."""
    return fixed(FIELD + account, position)


def sample_contacts(account: int, count: int, now: datetime) -> list[SampleContact]:
    """`count` contacts of account number `account`; the dates depend only on the day of `now`."""
    dice = random.Random(f"switchyard {account}")  # noqa: S311 -- the demo is the same every time
    return [_sample_contact(dice, account, index, count, now) for index in range(count)]


def _sample_contact(
    dice: random.Random, account: int, index: int, count: int, now: datetime
) -> SampleContact:
    first, last = dice.choice(FIRST), dice.choice(LAST)
    company = f"{dice.choice(COMPANY)} {dice.choice(TRADE)}"
    city, county, state, postal = dice.choice(PLACES)
    domain = company.lower().replace(" ", "-") + ".example"
    plan, score = dice.choice(PLANS), dice.randint(0, 100)
    renewal = (now + timedelta(days=dice.randint(1, 365))).date()
    fields: JsonObject = {
        str(field_id(account, 0)): plan,
        str(field_id(account, 1)): score,
        str(field_id(account, 2)): renewal.isoformat(),
    }
    columns: dict[str, str | None] = {
        "first_name": first,
        "last_name": last,
        "email": f"{first}.{last}.{index + 1}@{domain}".lower(),
        "phone": f"+1916555{dice.randint(0, 9999):04}" if dice.random() < 0.8 else None,
        "company": company,
        "address": f"{dice.randint(1, 9900)} {dice.choice(STREET)} Street",
        "city": city,
        "county": county,
        "state": state,
        "postal_code": postal,
        "country": "US",
        "website": f"https://www.{domain}" if dice.random() < 0.6 else None,
    }
    tags = {name for name, share in zip(TAG_NAMES, TAG_SHARES, strict=True) if dice.random() < share}
    created = now - timedelta(days=120) * ((count - index) / count) - timedelta(days=15)
    return SampleContact(fixed(CONTACT + account, index), columns, fields, created, tags)


async def write_contacts(
    session: AsyncSession, account: int, contacts: Sequence[SampleContact], now: datetime
) -> None:
    """Writes the tags, custom fields and contacts of the session's account."""
    session.add_all(Tag(id=tag_id(account, name), name=name, slug=name) for name in TAG_NAMES)
    kinds = (("plan", "Plan", "select"), ("score", "Score", "number"), ("renewal", "Renewal date", "date"))
    session.add_all(
        CustomField(
            id=field_id(account, number), key=key, label=label, type=kind, position=number,
            options=list(PLANS) if kind == "select" else [],
        )
        for number, (key, label, kind) in enumerate(kinds)
    )  # fmt: skip
    await session.flush()
    texts: dict[str, SqlValue] = {name: [contact.columns[name] for contact in contacts] for name in COLUMNS}
    await execute(
        session,
        _INSERT_SAMPLES,
        id=[contact.id for contact in contacts],
        fields=[msgspec.json.encode(contact.fields).decode() for contact in contacts],
        created_at=[contact.created_at for contact in contacts],
        **texts,
    )
    tags = [(contact.id, tag_id(account, name)) for contact in contacts for name in sorted(contact.tags)]
    await write_contact_tags(session, tags, now)


async def write_contact_tags(session: AsyncSession, tags: Sequence[tuple[UUID, UUID]], now: datetime) -> None:
    """Gives contacts tags: pairs of a contact and a tag."""
    contacts, tag_ids = [contact for contact, _ in tags], [tag for _, tag in tags]
    await execute(session, _INSERT_CONTACT_TAGS, contact_id=contacts, tag_id=tag_ids, now=now)
