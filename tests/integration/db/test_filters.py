"""One language, two compilers: for generated contacts and filters PostgreSQL and Python give one answer.

Asked on the real tables, as the restricted role, behind row-level security."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.filters.evaluate import compile_filter
from app.filters.facts import ContactWorkflows, Facts, Happened, contact_values
from app.settings import Settings
from db.filters import where
from db.ids import uuid7
from db.models import Contact, ContactTag, Enrollment, Event
from tests.support.engine_kit import ANN, BEN, FIELDS, NOW, RENEWAL, TAGS, WELCOME, ask
from tests.support.filter_cases import NOWS, ZONES, contacts, filters

PEOPLE, QUESTIONS, ROUNDS = 16, 18, 75
PAIRS = 20_000
compared: list[int] = []  # pairs of each round that agreed
CONTACTS = Contact.__table__


@pytest.fixture(scope="module")
def account(admin_url: str) -> UUID:
    """An account with the tags that the filters ask for."""
    account_id = uuid7()

    async def make() -> None:
        connection = await asyncpg.connect(admin_url)
        await connection.execute("insert into accounts (id, name) values ($1, 'Filters')", account_id)
        await connection.executemany(
            "insert into tags (account_id, id, name, slug) values ($1, $2, $3, $3)",
            [(account_id, UUID(tag), name) for tag, name in TAGS.items()],
        )
        for number, user in enumerate((ANN, BEN)):
            address = f"filters{number}@x.test"
            await connection.execute("insert into users (id, email, name) values ($1, $2, $2)", user, address)
            await connection.execute(
                "insert into memberships (account_id, user_id, role) values ($1, $2, 'viewer')",
                account_id,
                user,
            )
        for workflow in (WELCOME, RENEWAL):
            await connection.execute(
                "insert into workflows (account_id, id, name) values ($1, $2, 'A workflow')",
                account_id,
                workflow,
            )
            await connection.execute(
                "insert into workflow_versions (account_id, workflow_id, number, document, content_hash)"
                " values ($1, $2, 1, '{}', '')",
                account_id,
                workflow,
            )
        await connection.close()

    asyncio.run(make())
    return account_id


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[AsyncEngine]:
    url = settings.database_url.replace("postgresql://", "postgresql+asyncpg://")
    sql_engine = create_async_engine(url, poolclass=NullPool)
    yield sql_engine
    asyncio.run(sql_engine.dispose())


async def fill(connection: AsyncConnection, account: UUID, people: list[dict[str, Any]]) -> None:
    """These contacts and no others. In the bin, where two may have one address."""
    await connection.execute(text("select set_config('app.account_id', :id, true)"), {"id": str(account)})
    empty = {column.name: None for column in CONTACTS.c if column.nullable and column.computed is None}
    rows = [
        empty
        | {{"owner": "owner_id"}.get(key, key): value for key, value in person["columns"].items()}
        | {"account_id": account, "id": UUID(int=number), "fields": person["custom"], "deleted_at": NOW}
        for number, person in enumerate(people)
    ]
    await connection.execute(insert(Contact), rows)
    worn = [
        {"account_id": account, "contact_id": row["id"], "tag_id": UUID(tag)}
        for row, person in zip(rows, people, strict=True)
        for tag in person["tags"]
    ]
    entered = [
        {
            "account_id": account,
            "id": uuid7(),
            "workflow_id": workflow,
            "version": 1,
            "contact_id": row["id"],
            "status": status,
            "entry_key": str(number),
            "event_id": uuid7(),
            "root_event_id": row["id"],
            "entered_at": NOW,
        }
        for row, person in zip(rows, people, strict=True)
        for number, (workflow, status) in enumerate(person["enrollments"])
    ]
    happened = [
        {
            "account_id": account,
            "id": uuid7(),
            "kind": kind,
            "subject_id": row["id"],
            "source": "user",
            "data": {"changes": changes} if changes else {},
            "root_event_id": row["id"],
            "occurred_at": moment,
        }
        for row, person in zip(rows, people, strict=True)
        for kind, moment, changes in person["events"]
    ]
    for table, table_rows in ((ContactTag, worn), (Enrollment, entered), (Event, happened)):
        if table_rows:
            await connection.execute(insert(table), table_rows)


def facts_of(person: dict[str, Any], zone: ZoneInfo) -> Facts:
    been = person["enrollments"]
    return Facts(
        contact_values(person["columns"], person["custom"]),
        {UUID(tag) for tag in person["tags"]},
        zone,
        workflows=ContactWorkflows(
            {workflow for workflow, status in been if status == "active"},
            {workflow for workflow, _ in been},
            {workflow for workflow, status in been if status == "completed"},
        ),
        history=[Happened(*event) for event in person["events"]],
    )


# Hypothesis does not shrink it when one fails: that takes minutes, and the failing pair is named below.
@settings(
    max_examples=ROUNDS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(
    people=st.lists(contacts(), min_size=PEOPLE, max_size=PEOPLE),
    conditions=st.lists(filters(), min_size=QUESTIONS, max_size=QUESTIONS),
    zone=st.sampled_from(ZONES),
    now=st.sampled_from(NOWS),
)
def agree(
    engine: AsyncEngine,
    account: UUID,
    people: list[dict[str, Any]],
    conditions: list[Any],
    zone: ZoneInfo,
    now: datetime,
) -> None:
    async def answers() -> list[list[Any]]:
        clauses = [where(condition, CONTACTS, FIELDS, zone, now) for condition in conditions]
        async with engine.connect() as connection:
            await fill(connection, account, people)
            columns = [clause.label(f"q{number}") for number, clause in enumerate(clauses)]
            rows = (await connection.execute(select(CONTACTS.c.id, *columns).order_by(CONTACTS.c.id))).all()
            matching = (await connection.scalars(select(CONTACTS.c.id).where(clauses[0]))).all()
            assert set(matching) == {row[0] for row in rows if row[1]}
            await connection.rollback()
        return [list(row[1:]) for row in rows]

    matches = [compile_filter(condition, FIELDS) for condition in conditions]
    expected = [[match(facts_of(person, zone), now) for match in matches] for person in people]
    # Equal, not merely alike: null would be a third answer.
    answered = asyncio.run(answers())
    differing = [
        (conditions[column], people[row], answered[row][column])
        for row in range(PEOPLE)
        for column in range(QUESTIONS)
        if answered[row][column] is not expected[row][column]
    ]
    assert differing == []
    compared.append(sum(len(row) for row in answered))


def test_sql_and_python_agree(engine: AsyncEngine, account: UUID) -> None:
    compared.clear()
    agree(engine=engine, account=account)
    assert sum(compared) >= PAIRS


def test_email_lookup_uses_its_index() -> None:
    """The one question asked of every import row must stay a plain comparison of the column."""
    clause = where(ask("email", "is", " Ann@X.test"), CONTACTS, FIELDS, ZONES[0], NOW)
    assert str(clause) == "contacts.email IS NOT NULL AND contacts.email = :email_1"
