"""Wall one: every method of the repository, pointed at a row of another account."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from advanced_alchemy.exceptions import NotFoundError

from app.work import SYSTEM, Work, open_work
from db.ids import uuid7
from db.models import Contact, Tag
from db.tenancy import TenantRepository, WrongTenantError
from tests.support.sample_account import Cast, cast_of
from tests.support.world import World


class Contacts(TenantRepository[Contact]):
    model_type = Contact


class Tags(TenantRepository[Tag]):
    model_type = Tag


@pytest.fixture
async def theirs(world: World) -> Cast:
    return await cast_of(world)


@pytest.fixture
async def work(world: World) -> AsyncIterator[Work]:
    async with open_work(world.runtime, await world.account("Globex"), SYSTEM) as opened:
        yield opened


@pytest.fixture
def contacts(work: Work) -> Contacts:
    return Contacts(session=work.session)


async def city(world: World, contact: UUID) -> str | None:
    rows = await world.sql("select city from contacts where id = $1 and deleted_at is null", contact)
    return rows[0]["city"] if rows else None


def disguised(theirs: Cast, account: UUID | None = None) -> Contact:
    """Their row's id in a row that claims to be `account`'s (None: says nothing)."""
    row = Contact(id=theirs.contact, city="Stolen")
    if account is not None:
        row.account_id = account
    return row


async def test_reads_return_no_row_of_another_account(contacts: Contacts, theirs: Cast) -> None:
    for probe in (contacts.get(theirs.contact), contacts.get((theirs.account, theirs.contact))):
        with pytest.raises(NotFoundError):
            await probe
    with pytest.raises(NotFoundError):
        await contacts.get_one(id=theirs.contact)
    assert await contacts.get_one_or_none(id=theirs.contact) is None
    assert await contacts.get_one_or_none(account_id=theirs.account, id=theirs.contact) is None
    assert await contacts.get_many() == []
    assert await contacts.get_many(Contact.id == theirs.contact) == []
    assert await contacts.get_many_and_count() == ([], 0)
    assert await contacts.count() == 0
    assert not await contacts.exists(id=theirs.contact)


async def test_updates_change_no_row_of_another_account(
    contacts: Contacts, theirs: Cast, work: Work, world: World
) -> None:
    for account in (None, work.account_id):
        with pytest.raises((NotFoundError, ValueError)):  # a key without its account is no key
            await contacts.update(disguised(theirs, account))
        work.session.expunge_all()
    with pytest.raises((WrongTenantError, NotFoundError)):
        await contacts.update(disguised(theirs, theirs.account))
    work.session.expunge_all()
    for account in (None, work.account_id, theirs.account):
        with pytest.raises(WrongTenantError):
            await contacts.update_many([disguised(theirs, account)])
    assert await city(world, theirs.contact) == "London"


async def test_upserts_never_overwrite_a_row_of_another_account(
    contacts: Contacts, theirs: Cast, work: Work, world: World
) -> None:
    """The same id is another row here: keys lead with the account."""
    with pytest.raises(WrongTenantError):
        await contacts.upsert_many([disguised(theirs, theirs.account)])
    work.session.expunge_all()
    await contacts.upsert_many([disguised(theirs, work.account_id)])
    await work.commit()
    rows = await world.sql("select account_id, city from contacts where id = $1", theirs.contact)
    assert {(row["account_id"], row["city"]) for row in rows} == {
        (theirs.account, "London"),
        (work.account_id, "Stolen"),
    }


async def test_deletes_remove_no_row_of_another_account(
    contacts: Contacts, theirs: Cast, world: World
) -> None:
    for key in (theirs.contact, (theirs.account, theirs.contact)):
        with pytest.raises(NotFoundError):
            await contacts.delete(key)
    assert await contacts.delete_many([(theirs.account, theirs.contact)]) == []
    assert await contacts.delete_where(id=theirs.contact) == []
    assert await contacts.delete_where(account_id=theirs.account) == []
    assert await contacts.delete_where() == []
    await contacts.session.commit()
    assert await city(world, theirs.contact) == "London"


async def test_rows_for_another_account_are_not_added(contacts: Contacts, theirs: Cast, work: Work) -> None:
    with pytest.raises(WrongTenantError):
        await contacts.add(Contact(id=uuid7(), account_id=theirs.account))
    with pytest.raises(WrongTenantError):
        await contacts.add_many([Contact(id=uuid7()), Contact(id=uuid7(), account_id=theirs.account)])
    with pytest.raises(WrongTenantError):
        await contacts.upsert(Contact(id=uuid7(), account_id=theirs.account))
    assert await contacts.count() == 0


async def test_get_or_upsert_stays_within_the_account(work: Work, theirs: Cast, world: World) -> None:
    tags = Tags(session=work.session)
    tag, created = await tags.get_or_upsert(match_fields=["slug"], id=uuid7(), slug="vip", name="VIP")
    assert created
    assert tag.id != theirs.tag
    assert tag.account_id == work.account_id
    await work.commit()
    rows = await world.sql("select name from tags where id = $1", theirs.tag)
    assert [row["name"] for row in rows] == ["vip"]


async def test_rows_are_stamped_with_the_account_of_the_session(contacts: Contacts, work: Work) -> None:
    contact = await contacts.add(Contact(id=uuid7(), city="Here"))
    many: Any = await contacts.add_many([Contact(id=uuid7()), Contact(id=uuid7())])
    assert {row.account_id for row in [contact, *many]} == {work.account_id}
    assert await contacts.count() == 3
