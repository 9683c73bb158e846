"""One language, two compilers: for generated contacts and filters PostgreSQL and Python give one answer."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.filters.facts import Facts, contact_values
from app.filters.matches import compile_filter
from db.filters import where
from db.models.contacts import Contact, ContactTag
from scripts.local.postgres import Postgres
from tests.domain.filter_cases import ZONES, contacts, filters
from tests.domain.stories import FIELDS, NOW, TAGS, ask

ACCOUNT, OTHER = UUID(int=1), UUID(int=2)
PEOPLE, QUESTIONS, ROUNDS = 12, 12, 150  # 21,600 pairs


def bare(model: Any, metadata: MetaData) -> Table:
    """The model's table without what holds it to other tables: the language knows columns only."""
    return Table(
        model.__tablename__,
        metadata,
        *(Column(column.name, column.type) for column in model.__table__.c if column.computed is None),
    )


METADATA = MetaData()
CONTACTS = bare(Contact, METADATA)
CONTACT_TAGS = bare(ContactTag, METADATA)


@pytest.fixture(scope="module")
def engine() -> Iterator[AsyncEngine]:
    with Postgres.temporary() as server:
        url = server.superuser_url().replace("postgresql://", "postgresql+asyncpg://")
        made = create_async_engine(url, poolclass=NullPool)
        asyncio.run(create(made))
        yield made


async def create(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)


async def fill(connection: AsyncConnection, people: list[dict[str, Any]]) -> None:
    """These contacts and no others; a twin in another account wears every tag."""
    ids = [UUID(int=100 + number) for number in range(len(people))]
    await connection.execute(delete(CONTACTS))
    await connection.execute(delete(CONTACT_TAGS))
    empty = dict.fromkeys(column.name for column in CONTACTS.c)
    await connection.execute(
        insert(CONTACTS),
        [
            empty | person["columns"] | {"account_id": ACCOUNT, "id": made, "fields": person["custom"]}
            for made, person in zip(ids, people, strict=True)
        ],
    )
    worn = [(ACCOUNT, made, tag) for made, person in zip(ids, people, strict=True) for tag in person["tags"]]
    worn += [(OTHER, made, tag) for made in ids for tag in TAGS]
    await connection.execute(
        insert(CONTACT_TAGS),
        [{"account_id": account, "contact_id": made, "tag_id": UUID(tag)} for account, made, tag in worn],
    )


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
    engine: AsyncEngine, people: list[dict[str, Any]], asked: list[Any], zone: Any
) -> None:
    async def answers() -> list[list[Any]]:
        clauses = [where(one, CONTACTS, FIELDS, zone, NOW) for one in asked]
        async with engine.begin() as connection:
            await fill(connection, people)
            columns = [clause.label(f"q{number}") for number, clause in enumerate(clauses)]
            rows = (await connection.execute(select(CONTACTS.c.id, *columns).order_by(CONTACTS.c.id))).all()
            found = (await connection.scalars(select(CONTACTS.c.id).where(clauses[0]))).all()
            assert set(found) == {row[0] for row in rows if row[1]}
        return [list(row[1:]) for row in rows]

    matches = [compile_filter(one, FIELDS) for one in asked]
    expected = [[match(facts_of(person, zone), NOW) for match in matches] for person in people]
    # Equal, not merely alike: null would be a third answer.
    assert asyncio.run(answers()) == expected


def test_an_address_is_found_through_its_index() -> None:
    """The one question asked of every import row must stay a plain comparison of the column."""
    clause = where(ask("email", "is", " Ann@X.test"), CONTACTS, FIELDS, ZONES[0], NOW)
    assert str(clause) == "contacts.email IS NOT NULL AND contacts.email = :email_1"
