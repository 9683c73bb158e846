"""`litestar accounts create`: the first owner of an installation."""

import pytest

from app.accounts.provisioning import create_account
from app.settings import Settings
from tests.support.world import World

PASSWORD = "a long enough pass phrase"


async def test_the_first_owner_can_sign_in_and_is_audited(world: World, settings: Settings) -> None:
    message = await create_account(settings, "Initech", "First@Initech.example", "Fay", PASSWORD)
    assert "Its owner is first@initech.example" in message
    rows = await world.sql(
        "select a.id, m.role from accounts a join memberships m on m.account_id = a.id "
        "join users u on u.id = m.user_id where u.email = 'first@initech.example'"
    )
    assert [row["role"] for row in rows] == ["owner"]
    assert ("account.created", "account") in await world.audit(rows[0]["id"])
    async with world.client(accept="application/json") as client:
        answer = await client.post("/sessions", json={"email": "first@initech.example", "password": PASSWORD})
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("nobody", PASSWORD, "valid email"),
        ("weak@initech.example", "short", "12"),
    ],
)
async def test_refusal_is_one_sentence(
    world: World, settings: Settings, email: str, password: str, sentence: str
) -> None:
    with pytest.raises(SystemExit, match=sentence):
        await create_account(settings, "Initech", email, "Fay", password)


async def test_taken_address_creates_no_account(world: World, settings: Settings) -> None:
    taken = (await world.person()).email
    with pytest.raises(SystemExit, match="already belongs to a user"):
        await create_account(settings, "Never made", taken, "Fay", PASSWORD)
    assert await world.sql("select 1 from accounts where name = 'Never made'") == []
