"""Workflows that inbound webhooks start, their addresses, and deliveries."""

from typing import Any
from uuid import UUID

import httpx
import msgspec

from app.engine.core.draft import Draft
from app.engine.core.steps import MAIN, Exit
from app.engine.core.triggers import InboundWebhook
from app.engine.core.version import content_hash, freeze
from app.workflows.domain.draft_edits import add_trigger, insert
from app.workflows.domain.draft_rows import rows_of
from db.ids import uuid7
from tests.support.world import AccountMember, World


async def flow(world: World, account: UUID, trigger: InboundWebhook, *, live: bool = True) -> UUID:
    """A workflow whose trigger t1 is this one, published unless it is not to be."""
    workflow_id = uuid7()
    draft = insert(add_trigger(Draft(), trigger), MAIN, 0, Exit())
    version = freeze(draft, workflow_id, 1)
    await world.sql(
        "insert into workflows (account_id, id, name, status, next_key, settings) "
        "values ($1, $2, 'In', $3, 9, $4)",
        account, workflow_id, "active" if live else "draft", msgspec.json.encode(draft.settings).decode(),
    )  # fmt: skip
    for table, rows in zip(
        ("workflow_actions", "workflow_conditions", "workflow_goals"), rows_of(draft), strict=True
    ):
        for row in rows:  # type: ignore[attr-defined]  # three lists of different rows
            columns = {"account_id": account, "workflow_id": workflow_id} | msgspec.to_builtins(row)
            names = ", ".join(columns)
            holes = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
            values = [
                msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value
                for value in columns.values()
            ]
            await world.sql(f"insert into {table} ({names}) values ({holes})", *values)  # noqa: S608 -- our names
    if live:
        await world.sql(
            "insert into workflow_versions (account_id, workflow_id, number, document, content_hash) "
            "values ($1, $2, 1, $3::jsonb, $4)",
            account, workflow_id, msgspec.json.encode(version).decode(), content_hash(version),
        )  # fmt: skip
        await world.sql("update workflows set live_version = 1 where id = $1", workflow_id)
    return workflow_id


async def contact(world: World, account: UUID, email: str = "ann@people.example") -> UUID:
    contact_id = uuid7()
    await world.sql(
        "insert into contacts (account_id, id, first_name, email, external_id) "
        "values ($1, $2, 'Ann', $3, 'x-7')",
        account, contact_id, email,
    )  # fmt: skip
    return contact_id


async def address(world: World, who: AccountMember, workflow: UUID, part: str = "address") -> tuple[str, str]:
    """Path and signing secret, "" for what was not made."""
    async with world.script(who) as script:
        body = {"trigger": "t1", "part": part}
        answer = await script.post(f"/workflows/{workflow}/hooks", json=body)
        assert answer.status_code == 201, answer.text
        created = answer.json()
        return httpx.URL(created["url"]).path if created["url"] else "", created["secret"]


async def post(world: World, path: str, body: Any = None, **headers: str) -> httpx.Response:
    async with world.client() as outside:
        content = msgspec.json.encode({"email": "ann@people.example"} if body is None else body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await outside.post(path, content=content, headers={"content-type": "application/json"} | named)


async def events(world: World, account: UUID) -> list[Any]:
    return await world.sql(
        "select id, subject_id, source, data from events where account_id = $1 and kind = 'webhook.received'",
        account,
    )
