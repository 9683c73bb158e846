"""One language, two compilers: for generated contacts and filters PostgreSQL and Python give one answer.

Asked on the real tables, as the restricted role, behind row-level security."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.filters.facts import Facts, contact_values
from app.filters.matches import compile_filter
from app.settings import Settings
from db.filters import where
from db.ids import uuid7
from db.models.contacts import Contact, ContactTag
from tests.domain.filter_cases import ZONES, contacts, filters
from tests.domain.stories import FIELDS, NOW, TAGS, ask

PEOPLE, QUESTIONS, ROUNDS = 12, 12, 150  # 21,600 pairs
CONTACTS = Contact.__table__


@pytest.fixture(scope="module")
def account(admin_url: str) -> UUID:
    """An account with the tags that the filters ask for."""
    made = uuid7()

    async def make() -> None:
        connection = await asyncpg.connect(admin_url)
        await connection.execute("insert into accounts (id, name) values ($1, 'Filters')", made)
        await connection.executemany(
            "insert into tags (account_id, id, name, slug) values ($1, $2, $3, $3)",
            [(made, UUID(tag), name) for tag, name in TAGS.items()],
        )
        await connection.close()

    asyncio.run(make())
    return made


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[AsyncEngine]:
    url = settings.database_url.replace("postgresql://", "postgresql+asyncpg://")
    made = create_async_engine(url, poolclass=NullPool)
    yield made
    asyncio.run(made.dispose())


async def fill(connection: AsyncConnection, account: UUID, people: list[dict[str, Any]]) -> None:
    """These contacts and no others. In the bin, where two may have one address."""
    await connection.execute(text("select set_config('app.account_id', :id, true)"), {"id": str(account)})
    empty = {column.name: None for column in CONTACTS.c if column.nullable and column.computed is None}
    rows = [
        empty
        | person["columns"]
        | {"account_id": account, "id": UUID(int=number), "fields": person["custom"], "deleted_at": NOW}
        for number, person in enumerate(people)
    ]
    await connection.execute(insert(Contact), rows)
    worn = [
        {"account_id": account, "contact_id": row["id"], "tag_id": UUID(tag)}
        for row, person in zip(rows, people, strict=True)
        for tag in person["tags"]
    ]
    if worn:
        await connection.execute(insert(ContactTag), worn)


def facts_of(person: dict[str, Any], zone: Any) -> Facts:
    values = contact_values(person["columns"], person["custom"])
    return Facts(values, {UUID(tag) for tag in person["tags"]}, zone)


@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    people=st.lists(contacts(), min_size=PEOPLE, max_size=PEOPLE),
    asked=st.lists(filters(), min_size=QUESTIONS, max_size=QUESTIONS),
    zone=st.sampled_from(ZONES),
)
def test_sql_and_python_agree(
    engine: AsyncEngine, account: UUID, people: list[dict[str, Any]], asked: list[Any], zone: Any
) -> None:
    async def answers() -> list[list[Any]]:
        clauses = [where(one, CONTACTS, FIELDS, zone, NOW) for one in asked]
        async with engine.connect() as connection:
            await fill(connection, account, people)
            columns = [clause.label(f"q{number}") for number, clause in enumerate(clauses)]
            rows = (await connection.execute(select(CONTACTS.c.id, *columns).order_by(CONTACTS.c.id))).all()
            found = (await connection.scalars(select(CONTACTS.c.id).where(clauses[0]))).all()
            assert set(found) == {row[0] for row in rows if row[1]}
            await connection.rollback()
        return [list(row[1:]) for row in rows]

    matches = [compile_filter(one, FIELDS) for one in asked]
    expected = [[match(facts_of(person, zone), NOW) for match in matches] for person in people]
    # Equal, not merely alike: null would be a third answer.
    assert asyncio.run(answers()) == expected


def test_an_address_is_found_through_its_index() -> None:
    """The one question asked of every import row must stay a plain comparison of the column."""
    clause = where(ask("email", "is", " Ann@X.test"), CONTACTS, FIELDS, ZONES[0], NOW)
    assert str(clause) == "contacts.email IS NOT NULL AND contacts.email = :email_1"
