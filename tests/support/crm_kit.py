"""Creates tags, contacts, fields and segments, and workflows that use them."""

from typing import Any
from uuid import UUID

import httpx

from app.work import Actor, open_work
from db.models import Job
from jobs.registry import HANDLERS
from tests.support.web_kit import JSON
from tests.support.world import AccountMember, World

MISSING_ID = "00000000-0000-7000-8000-000000000000"


async def use(world: World, who: AccountMember, kind: str, target: str, *, live: bool = True) -> None:
    """A published workflow that refers to a tag or field."""
    rows = await world.sql(
        "insert into workflows (account_id, id, name, live_version)"
        " values ($1, gen_random_uuid(), 'Welcome', $2) returning id",
        who.account_id, 1 if live else None,
    )  # fmt: skip
    workflow = rows[0]["id"]
    await world.sql(
        "insert into workflow_versions (account_id, workflow_id, number, document, content_hash)"
        " values ($1, $2, 1, '{}', '')", who.account_id, workflow,
    )  # fmt: skip
    await world.sql(
        "insert into workflow_references (account_id, workflow_id, version, kind, target)"
        " values ($1, $2, 1, $3, $4)", who.account_id, workflow, kind, target,
    )  # fmt: skip


async def create_contact(client: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    answer = await client.post("/contacts", json=values, headers=JSON)
    assert answer.status_code == 201, answer.text
    contact: dict[str, Any] = answer.json()["contact"]
    return contact


async def run_job(world: World, who: AccountMember, job_id: str) -> int:
    """Does a job to its end, each batch in work of its own, as a worker does; how many batches it took."""
    actor = Actor("member", str(who.user_id), who.name)
    for number in range(1, 20):
        async with open_work(world.runtime, who.account_id, actor) as work:
            job = await work.session.get(Job, (who.account_id, UUID(job_id)))
            assert job is not None
            if await HANDLERS[job.task](work, job):
                return number
    raise AssertionError("the job does not end")


async def create_field(client: httpx.AsyncClient, **values: Any) -> dict[str, Any]:
    answer = await client.post("/fields", json=values, headers=JSON)
    assert answer.status_code == 201, answer.text
    field: dict[str, Any] = answer.json()["field"]
    return field


async def check_revisions(world: World, account: UUID) -> None:
    """Each revision of a contact after its first has an audit entry: conflicts are found field by field."""
    missing = await world.sql(
        "select c.id, r from contacts c, generate_series(2, c.rev) r where c.account_id = $1"
        " and not exists (select from audit_logs a where a.account_id = $1 and a.subject_kind = 'contact'"
        " and a.subject_id = c.id::text and a.rev = r)",
        account,
    )
    assert missing == []
