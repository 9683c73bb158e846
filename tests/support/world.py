"""The real app on the real database, with accounts and users created for one test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import asyncpg
import httpx
import msgspec
from litestar import Litestar

from app.credentials import HASHER
from app.runtime import Runtime
from db.ids import uuid7
from scripts._lib.faults.counter_check import WRONG_COUNTS
from tests.support.web_kit import BASE, HTML, JSON, OWN

PASSWORD = "correct horse battery"
HASH = HASHER.hash(PASSWORD)


class AccountMember(msgspec.Struct, frozen=True):
    """A person and one account of theirs."""

    user_id: UUID
    email: str
    name: str
    account_id: UUID
    role: str


class World:
    """`admin_url` is a superuser's: tests make and look at rows with it that the app may not."""

    def __init__(
        self, app: Litestar, admin_url: str, mails: list[tuple[str, str, str]], runtime: Runtime
    ) -> None:
        self.app, self.admin_url, self.mails, self.runtime = app, admin_url, mails, runtime
        self.accounts: list[UUID] = []

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.admin_url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def account(self, name: str = "Acme") -> UUID:
        account_id = uuid7()
        await self.sql("insert into accounts (id, name) values ($1, $2)", account_id, name)
        self.accounts.append(account_id)
        return account_id

    async def check_counters(self) -> None:
        """The counters of the accounts are what they count."""
        connection = await asyncpg.connect(self.admin_url)
        try:
            for account in self.accounts:
                wrong = await connection.fetch(WRONG_COUNTS, account)
                assert not wrong, wrong
        finally:
            await connection.close()

    async def person(
        self, role: str = "owner", account: UUID | None = None, password: str | None = HASH
    ) -> AccountMember:
        account = account or await self.account()
        user_id = uuid7()
        email = f"{role}-{user_id.hex}@acme.example"
        await self.sql(
            "insert into users (id, email, name, password_hash) values ($1, $2, $3, $4)",
            user_id, email, role.capitalize(), password,
        )  # fmt: skip
        await self.join(user_id, account, role)
        return AccountMember(user_id, email, role.capitalize(), account, role)

    async def join(self, user_id: UUID, account: UUID, role: str) -> None:
        await self.sql(
            "insert into memberships (account_id, user_id, role) values ($1, $2, $3)", account, user_id, role
        )

    async def audit(self, account: UUID) -> list[tuple[str, str]]:
        rows = await self.sql(
            "select action, subject_kind from audit_logs where account_id = $1 order by id", account
        )
        return [(row["action"], row["subject_kind"]) for row in rows]

    @asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(cast("Any", self.app))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
            yield client

    @asynccontextmanager
    async def browser(self, who: AccountMember, password: str = PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
        """Signed in with cookies, asking for pages."""
        async with self.client(**HTML, **OWN) as client:
            answer = await client.post("/sessions", data={"email": who.email, "password": password})
            assert answer.status_code == 303, answer.text
            yield client

    @asynccontextmanager
    async def script(self, who: AccountMember, password: str = PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
        """Signed in with a bearer token, asking for JSON."""
        async with self.client(**JSON) as client:
            answer = await client.post("/sessions", json={"email": who.email, "password": password})
            assert answer.status_code == 201, answer.text
            client.headers["authorization"] = f"Bearer {answer.json()['token']}"
            yield client
