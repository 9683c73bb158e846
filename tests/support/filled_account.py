"""An account with a row of everything, and clients of its members and of another account."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from db.ids import uuid7
from tests.support.sample_account import Cast, cast_of
from tests.support.world import AccountMember, World


@dataclass
class FilledAccount:
    """An account with a row of everything, and clients of several users, as pages and as JSON."""

    world: World
    cast: Cast
    ids: dict[str, Any]
    stack: AsyncExitStack

    async def clients(self, who: AccountMember) -> list[httpx.AsyncClient]:
        return [
            await self.stack.enter_async_context(self.world.script(who)),
            await self.stack.enter_async_context(self.world.browser(who)),
        ]


async def ids_of(world: World, cast: Cast) -> dict[str, Any]:
    """A value of the account for each name in paths and forms, with a session and a token of its owner."""
    token_id = uuid7()
    ids: dict[str, Any] = {
        "contact_id": cast.contact, "tag_id": cast.tag, "field_id": cast.field, "import_id": cast.upload,
        "workflow_id": cast.workflow, "enrollment_id": cast.enrollment, "effect_id": cast.effect,
        "job_id": cast.job, "approval_id": cast.approval, "notification_id": cast.notification,
        "invitation_id": cast.invitation,
        "segment_id": cast.segment, "note_id": cast.note, "task_id": cast.task, "completion_id": cast.task,
        "message_id": cast.message, "user_id": cast.owner.user_id,
        "session_id": uuid7(), "token_id": token_id, "event_id": cast.event,
        "step_key": "s1", "list_id": "main", "number": 1, "version": 1, "line": 3, "rev": 1,
        "seq": 1, "position": 0,
    }  # fmt: skip
    await world.sql(
        "insert into sessions (id, user_id, account_id, secret_hash, expires_at) "
        "values ($1, $2, $3, '\\x01', clock_timestamp() + interval '1 day')",
        ids["session_id"], cast.owner.user_id, cast.account,
    )  # fmt: skip
    await world.sql(
        "insert into access_tokens"
        " (id, user_id, account_id, name, token_hash, token_prefix, scopes, expires_at) "
        "values ($1, $2, $3, 'x', $4, 'x', '[]', clock_timestamp() + interval '1 day')",
        token_id, cast.owner.user_id, cast.account, token_id.bytes,
    )  # fmt: skip
    return ids


@pytest.fixture
async def scene(world: World) -> AsyncIterator[FilledAccount]:
    cast = await cast_of(world)
    ids = await ids_of(world, cast)
    async with AsyncExitStack() as stack:
        yield FilledAccount(world, cast, ids, stack)


async def snapshot(world: World, cast: Cast) -> dict[str, str]:
    """A fingerprint of every row of our account, without the versions of catalogs and the deltas of counters:
    they also say that a row was changed and changed back."""
    tables = {}
    for name in (
        *sorted({*Cast.TABLES} - {"catalog_versions", "counter_deltas"}),
        "memberships",
        "access_tokens",
    ):
        rows = await world.sql(
            f"select md5(coalesce(string_agg(t::text, ';' order by t::text), '')) as print from {name} t "  # noqa: S608 -- our names
            "where account_id = $1",
            cast.account,
        )
        tables[name] = rows[0]["print"]
    rows = await world.sql("select a::text as print from accounts a where id = $1", cast.account)
    return tables | {"accounts": rows[0]["print"]}
