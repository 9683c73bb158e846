"""Schemathesis sends requests made up from the document: with tokens of an owner and of a viewer, next to an
account whose every row contains a canary. No answer may be a 5xx, depart from the document, or contain the
canary.

`scripts/test` sends a few requests to each operation, always the same ones; `scripts/fuzz` sends more."""

import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.permissions import TABLE, Role
from app.web.openapi.document import build_document
from tests.clients.programs import run
from tests.support.filled_account import ids_of
from tests.support.live_app import HOST, free_port, serving
from tests.support.sample_account import cast_of
from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.clients]
ROOT = Path(__file__).resolve().parents[2]
CANARY = "zanzibar-7f3a9c"
EXAMPLES = int(os.environ.get("SWITCHYARD_FUZZ_EXAMPLES", "2"))
PHASES = os.environ.get("SWITCHYARD_FUZZ_PHASES", "fuzzing")
SEED = os.environ.get("SWITCHYARD_FUZZ_SEED")
REPEATABLE = ("--seed", SEED) if SEED else ("--generation-deterministic",)
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,negative_data_rejection,no_foreign_canary"
)
# Answer 503 on purpose: there is no worker here.
LEFT_OUT = ("/health/workers",)
# Texts of a row that people see.
TEXTS = {
    "accounts": ("name",),
    "approvals": ("question",),
    "audit_logs": ("actor_name",),
    "contacts": ("first_name", "last_name", "company", "city", "address", "email"),
    "custom_fields": ("label",),
    "imports": ("filename",),
    "invitations": ("email",),
    "jobs": ("error", "actor_name"),
    "mailbox_messages": ("subject", "body", "sender", "recipient"),
    "notes": ("body", "author_name"),
    "notifications": ("title",),
    "segments": ("name",),
    "tags": ("name",),
    "tasks": ("title", "author_name"),
    "workflows": ("name",),
}


@dataclass
class Target:
    """The address of the server and the file of its document."""

    base: str
    document: Path


@pytest.fixture
async def target(world: World, tmp_path: Path) -> AsyncIterator[Target]:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(build_document(world.app)))
    port = await free_port()
    async with serving(world.app, port):
        yield Target(f"http://{HOST}:{port}", path)


async def foreign_ids(world: World) -> dict[str, Any]:
    """The ids of an account with a row of everything, each with the canary."""
    cast = await cast_of(world)
    await world.sql("update users set name = $1 where id = $2", CANARY, cast.owner.user_id)
    for table, columns in TEXTS.items():
        changed = ", ".join(f"{column} = $1 || coalesce({column}, '')" for column in columns)
        key = "id" if table == "accounts" else "account_id"
        await world.sql(f"update {table} set {changed} where {key} = $2", CANARY, cast.account)  # noqa: S608 -- our names
    return await ids_of(world, cast)


@pytest.mark.parametrize("role", [Role.OWNER, Role.VIEWER])
async def test_answers_keep_to_the_document(
    world: World, target: Target, python_tools: Path, tmp_path: Path, role: Role
) -> None:
    cast = await cast_of(world)
    member = cast.owner if role is Role.OWNER else await world.person(role, cast.account)
    async with world.script(member) as client:
        answer = await client.post("/tokens", json={"name": "fuzz", "scopes": sorted(TABLE[role])})
        token = answer.json()["token"]
    seeds = tmp_path / "seeds.json"
    ids, foreign = await ids_of(world, cast), await foreign_ids(world)
    seeds.write_text(json.dumps({"own": ids, "foreign": foreign, "canary": CANARY}, default=str))
    left_out = [part for path in LEFT_OUT for part in ("--exclude-path", path)]
    output = await run(
        python_tools.parent / "schemathesis", "run", target.document, "--url", target.base,
        "--header", f"Authorization: Bearer {token}", "--header", "Accept: application/json",
        "--phases", PHASES, "--max-examples", str(EXAMPLES), *REPEATABLE, "--checks", CHECKS, *left_out,
        "--suppress-health-check", "all", "--request-timeout", "30", "--no-color", "--continue-on-failure",
        cwd=tmp_path, seconds=3600, SCHEMATHESIS_HOOKS="tests.clients.fuzz_hooks", FUZZ_SEEDS=str(seeds),
        PYTHONPATH=str(ROOT),
    )  # fmt: skip
    cases = re.search(r"(\d+) generated", output)
    assert cases, output
    assert int(cases[1]) >= 100 * EXAMPLES, output
