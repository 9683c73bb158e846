"""Layer one alone: every method of Advanced Alchemy's repository, pointed at rows of another account.

The session is a superuser's, so row-level security hides nothing from it. `PROOFS` has one proof per method;
a method that a new version of Advanced Alchemy adds fails the last test until it has one too."""

import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import pytest
from advanced_alchemy.exceptions import NotFoundError
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from db.connection import open_engine
from db.ids import uuid7
from db.models import Account, Contact, ImportRow, Membership, Session, Tag, User, WebhookEndpoint
from db.tenancy import TenantRepository, WrongTenantError, session_maker, tenant_column
from tests.support.sample_account import Cast, cast_of
from tests.support.tenant_tables import TENANT
from tests.support.world import World


class Contacts(TenantRepository[Contact]):
    model_type = Contact


class Tags(TenantRepository[Tag]):
    model_type = Tag


class Webhooks(TenantRepository[WebhookEndpoint]):
    """Their table has a unique key without the account: the digest of the token."""

    model_type = WebhookEndpoint


class ImportRows(TenantRepository[ImportRow]):
    """Their key has three columns."""

    model_type = ImportRow


class Sessions(TenantRepository[Session]):
    """Their key is without the account."""

    model_type = Session


class Memberships(TenantRepository[Membership]):
    model_type = Membership


class Accounts(TenantRepository[Account]):
    model_type = Account


Repository: TypeAlias = Contacts | Tags | Webhooks | ImportRows | Sessions | Memberships | Accounts
Key: TypeAlias = UUID | tuple[UUID, int]


class Attack:
    """A session of an account that has nothing but itself, and what it tries to reach."""

    def __init__(self, session: AsyncSession, theirs: Cast, their_session: UUID) -> None:
        self.session, self.theirs = session, theirs
        self.ours: UUID = session.info["account_id"]
        self.contacts, self.tags, self.webhooks = Contacts(session), Tags(session), Webhooks(session)
        self.rows, self.accounts = ImportRows(session), Accounts(session)
        # Where our account has no row, with the key of a row of theirs.
        self.empty: list[tuple[Repository, Key]] = [
            (self.contacts, theirs.contact),
            (self.tags, theirs.tag),
            (self.webhooks, theirs.hook),
            (self.rows, (theirs.upload, 2)),
            (Sessions(session), their_session),
            (Memberships(session), theirs.owner.user_id),
        ]
        self.targets: list[tuple[Repository, Key]] = [*self.empty, (self.accounts, theirs.account)]

    def disguises(self) -> list[Contact]:
        """Their contact in another city: a row that names no account, ours, theirs."""
        rows = [Contact(id=self.theirs.contact, city="Stolen") for _ in range(3)]
        rows[1].account_id, rows[2].account_id = self.ours, self.theirs.account
        return rows

    def webhook(self) -> WebhookEndpoint:
        """A row with the digest of their webhook, with which an ON CONFLICT would overwrite theirs."""
        return WebhookEndpoint(
            workflow_id=self.theirs.workflow,
            trigger_key="t1",
            token_hash=self.theirs.hook.bytes,
            token_prefix="stolen",
        )

    async def refused(self, attempt: Awaitable[object]) -> None:
        with pytest.raises(
            (WrongTenantError, NotFoundError, NotImplementedError, InvalidRequestError, ValueError)
        ):
            await attempt
        await self.forget()

    async def forget(self) -> None:
        await self.session.rollback()
        self.session.expunge_all()


Proof: TypeAlias = Callable[[Attack], Awaitable[None]]
PROOFS: dict[str, Proof] = {}


def proves(method: str) -> Callable[[Proof], Proof]:
    def register(proof: Proof) -> Proof:
        PROOFS[method] = proof
        return proof

    return register


@proves("get")
async def get(attack: Attack) -> None:
    for repository, key in attack.targets:
        await attack.refused(repository.get(key))
        await attack.refused(repository.get(key, statement=select(repository.model_type)))
    await attack.refused(attack.contacts.get("London", id_attribute="city"))
    await attack.refused(attack.contacts.get((attack.theirs.account, attack.theirs.contact)))


@proves("get_one")
async def get_one(attack: Attack) -> None:
    await attack.refused(attack.contacts.get_one(id=attack.theirs.contact))
    await attack.refused(attack.contacts.get_one(Contact.city == "London", with_for_update=True))
    await attack.refused(attack.accounts.get_one(id=attack.theirs.account))
    assert (await attack.accounts.get_one()).id == attack.ours


@proves("get_one_or_none")
async def get_one_or_none(attack: Attack) -> None:
    for repository, _ in attack.empty:
        assert await repository.get_one_or_none(account_id=attack.theirs.account) is None
        assert await repository.get_one_or_none(statement=select(repository.model_type)) is None
    assert await attack.accounts.get_one_or_none(id=attack.theirs.account) is None


@proves("get_many")
async def get_many(attack: Attack) -> None:
    for repository, _ in attack.empty:
        assert await repository.get_many() == []
        assert await repository.get_many(account_id=attack.theirs.account) == []
        assert await repository.get_many(statement=select(repository.model_type)) == []
    assert [row.id for row in await attack.accounts.get_many()] == [attack.ours]


@proves("list")
async def deprecated_list(attack: Attack) -> None:
    with warnings.catch_warnings(action="ignore"):
        for repository, _ in attack.empty:
            assert await repository.list() == []


@proves("get_many_and_count")
async def get_many_and_count(attack: Attack) -> None:
    for repository, _ in attack.empty:
        for window in (True, False):
            assert await repository.get_many_and_count(count_with_window_function=window) == ([], 0)
    for window in (True, False):
        rows, count = await attack.accounts.get_many_and_count(count_with_window_function=window)
        assert ([row.id for row in rows], count) == ([attack.ours], 1)


@proves("list_and_count")
async def deprecated_list_and_count(attack: Attack) -> None:
    with warnings.catch_warnings(action="ignore"):
        for repository, _ in attack.empty:
            assert await repository.list_and_count() == ([], 0)


@proves("count")
async def count(attack: Attack) -> None:
    for repository, _ in attack.empty:
        assert await repository.count() == 0
        assert await repository.count(statement=select(repository.model_type)) == 0
    assert await attack.accounts.count() == 1


@proves("exists")
async def exists(attack: Attack) -> None:
    for repository, _ in attack.empty:
        assert not await repository.exists(account_id=attack.theirs.account)
    assert not await attack.accounts.exists(id=attack.theirs.account)


@proves("add")
async def add(attack: Attack) -> None:
    await attack.refused(attack.contacts.add(Contact(id=uuid7(), account_id=attack.theirs.account)))
    await attack.refused(attack.accounts.add(Account(id=uuid7(), name="Another")))
    contact = await attack.contacts.add(Contact(city="Here"))
    assert contact.account_id == attack.ours


@proves("add_many")
async def add_many(attack: Attack) -> None:
    await attack.refused(attack.contacts.add_many([Contact(), Contact(account_id=attack.theirs.account)]))
    added = await attack.contacts.add_many([Contact(), Contact()])
    assert {contact.account_id for contact in added} == {attack.ours}


@proves("update")
async def update(attack: Attack) -> None:
    for row in attack.disguises():
        await attack.refused(attack.contacts.update(row))
    for row in attack.disguises():
        await attack.refused(attack.contacts.update(row, id_attribute="id"))
    mine = await attack.contacts.add(Contact(city="Here"))
    mine.account_id = attack.theirs.account
    await attack.refused(attack.contacts.update(mine))


@proves("update_many")
async def update_many(attack: Attack) -> None:
    unnamed, ours, theirs = attack.disguises()
    await attack.refused(attack.contacts.update_many([unnamed]))
    assert await attack.contacts.update_many([ours]) == []
    assert await attack.contacts.update_many([theirs]) == []
    mine = await attack.contacts.add(Contact(city="Here"))
    [row] = await attack.contacts.update_many([Contact(account_id=attack.ours, id=mine.id, city="There")])
    assert row.city == "There"


@proves("get_and_update")
async def get_and_update(attack: Attack) -> None:
    await attack.refused(
        attack.contacts.get_and_update(match_fields="id", id=attack.theirs.contact, city="S")
    )
    await attack.contacts.add(Contact(city="Here"))
    await attack.refused(
        attack.contacts.get_and_update(match_fields="city", city="Here", account_id=attack.theirs.account)
    )


@proves("upsert")
async def upsert(attack: Attack) -> None:
    """An id of theirs is free here: keys lead with the account."""
    await attack.refused(attack.contacts.upsert(attack.disguises()[2]))
    await attack.refused(attack.contacts.upsert(attack.disguises()[2], match_fields=["city"]))
    row = await attack.contacts.upsert(attack.disguises()[0])
    assert (row.account_id, row.city) == (attack.ours, "Stolen")
    await attack.forget()
    with pytest.raises(IntegrityError):
        await attack.webhooks.upsert(attack.webhook(), match_fields=["token_hash"])
    await attack.forget()


@proves("upsert_many")
async def upsert_many(attack: Attack) -> None:
    await attack.refused(attack.contacts.upsert_many([attack.disguises()[2]]))
    [row] = await attack.contacts.upsert_many([attack.disguises()[1]])
    assert (row.account_id, row.city) == (attack.ours, "Stolen")
    again = Contact(id=row.id, account_id=attack.ours, city="Twice")
    [row] = await attack.contacts.upsert_many([again])
    assert (row.account_id, row.city) == (attack.ours, "Twice")
    await attack.forget()
    with pytest.raises(IntegrityError):  # and no ON CONFLICT (token_hash) DO UPDATE
        await attack.webhooks.upsert_many([attack.webhook()], match_fields=["token_hash"])
    await attack.forget()


@proves("get_or_upsert")
async def get_or_upsert(attack: Attack) -> None:
    tag, created = await attack.tags.get_or_upsert(match_fields=["slug"], slug="vip", name="VIP")
    assert created
    assert (tag.account_id, tag.id != attack.theirs.tag) == (attack.ours, True)
    await attack.refused(
        attack.tags.get_or_upsert(match_fields=["slug"], slug="vip", account_id=attack.theirs.account)
    )


@proves("delete")
async def delete(attack: Attack) -> None:
    for repository, key in attack.targets:
        await attack.refused(repository.delete(key))
    await attack.refused(attack.contacts.delete("London", id_attribute="city"))


@proves("delete_many")
async def delete_many(attack: Attack) -> None:
    for repository, key in attack.targets:
        if isinstance(key, tuple):
            await attack.refused(repository.delete_many([key]))
        else:
            assert await repository.delete_many([key]) == []
    assert await attack.contacts.delete_many(["London"], id_attribute="city") == []


@proves("delete_where")
async def delete_where(attack: Attack) -> None:
    for repository, _ in attack.empty:
        assert await repository.delete_where() == []
        assert await repository.delete_where(account_id=attack.theirs.account) == []
    assert await attack.accounts.delete_where(id=attack.theirs.account) == []


@proves("check_health")
async def check_health(attack: Attack) -> None:
    """Reads no table."""
    assert await attack.contacts.check_health(attack.session)


@pytest.fixture
async def theirs(world: World) -> Cast:
    return await cast_of(world)


@pytest.fixture
async def attack(world: World, theirs: Cast) -> AsyncIterator[Attack]:
    ours, their_session = await world.account("Globex"), uuid7()
    await world.sql(
        "insert into sessions (id, user_id, account_id, secret_hash, expires_at)"
        " values ($1, $2, $3, $4, now())",
        their_session, theirs.owner.user_id, theirs.account, their_session.bytes,
    )  # fmt: skip
    engine = open_engine(world.admin_url, pool_size=0)
    async with session_maker(engine)() as session:
        session.info["account_id"] = ours
        yield Attack(session, theirs, their_session)
    await engine.dispose()


async def rows_of(world: World, account: UUID) -> dict[str, list[str]]:
    """Every row of an account, as text, by table."""
    lines = {}
    for table in ("accounts", *TENANT):
        column = "id" if table == "accounts" else "account_id"
        query = f"select t::text as line from {table} t where {column} = $1 order by 1"  # noqa: S608 -- our names
        lines[table] = [row["line"] for row in await world.sql(query, account)]
    return lines


async def test_the_session_by_itself_sees_other_accounts(attack: Attack) -> None:
    """Otherwise row-level security would make the other tests pass."""
    for repository, _ in attack.targets:
        owner = tenant_column(repository.model_type)
        assert owner is not None
        query = select(owner).where(owner == attack.theirs.account).limit(1)
        assert await attack.session.scalar(query) == attack.theirs.account


@pytest.mark.parametrize("method", sorted(PROOFS))
async def test_no_method_reaches_another_account(method: str, attack: Attack, world: World) -> None:
    before = await rows_of(world, attack.theirs.account)
    assert all(before[table] for table in ("accounts", "contacts", "memberships", "sessions", "tags"))
    await PROOFS[method](attack)
    await attack.session.commit()
    assert await rows_of(world, attack.theirs.account) == before


async def test_the_session_writes_no_row_of_another_account(attack: Attack) -> None:
    """The check before each flush, with rows that came into the session by themselves."""
    query = select(Contact).where(Contact.id == attack.theirs.contact)
    stolen = (await attack.session.scalars(query)).one()
    stolen.account_id = attack.ours
    await attack.refused(attack.session.flush())
    changed = (await attack.session.scalars(query)).one()
    changed.city = "Stolen"
    await attack.refused(attack.session.flush())
    await attack.session.delete((await attack.session.scalars(query)).one())
    await attack.refused(attack.session.flush())
    attack.session.info["account_id"] = None
    attack.session.add(Tag(name="nobody's", slug="nobody's"))
    await attack.refused(attack.session.flush())


async def test_a_read_shows_what_is_stored_now(attack: Attack, world: World) -> None:
    tag = await attack.tags.add(Tag(name="new", slug="new"))
    await attack.session.commit()
    await world.sql("update tags set name = 'newer' where id = $1", tag.id)
    assert (await attack.tags.get_one(id=tag.id)).name == "newer"
    tag.name = "newest"
    assert (await attack.tags.get_one(id=tag.id)).name == "newest"


def test_a_repository_needs_a_model_of_an_account(attack: Attack) -> None:
    class Users(TenantRepository[User]):
        model_type = User

    with pytest.raises(TypeError, match="User belongs to no account"):
        Users(attack.session)


def test_every_method_is_proven() -> None:
    public = {
        name
        for name, method in inspect.getmembers(SQLAlchemyAsyncRepository, inspect.isroutine)
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert set(PROOFS) == public
