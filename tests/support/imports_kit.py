"""What tests of imports do again and again: upload, act, do the jobs."""

from typing import Any

import httpx

from app.imports.check_job import check_import
from app.imports.domain.sample_file import HEADER, as_csv, sample_rows
from app.imports.run_job import run_import
from app.work import SYSTEM, open_work
from db.models import Job
from tests.support.world import AccountMember, World

TASKS = {"import.check": check_import, "import.run": run_import}


async def run_queued_jobs(world: World, who: AccountMember, most: int = 1000) -> int:
    """Does what is queued for the account, as a worker would; returns how many batches that took."""
    batches = 0
    for row in await world.sql(
        "select id, task from jobs where account_id = $1 and status = 'queued' order by id", who.account_id
    ):
        finished = False
        while not finished and batches < most:
            async with open_work(world.runtime, who.account_id, SYSTEM) as work:
                job = await work.session.get_one(Job, (who.account_id, row["id"]))
                finished = await TASKS[row["task"]](work, job)
            batches += 1
        if finished:
            await world.sql("update jobs set status = 'done' where id = $1", row["id"])
    return batches


def table(count: int, ends: str = "\r\n") -> bytes:
    return as_csv([list(HEADER), *sample_rows(count)], ends).encode()


async def upload(client: httpx.AsyncClient, content: bytes, name: str = "people.csv") -> dict[str, Any]:
    answer = await client.post("/imports", files={"file": (name, content, "text/csv")})
    assert answer.status_code == 201, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def show(client: httpx.AsyncClient, page: dict[str, Any]) -> dict[str, Any]:
    answer = await client.get(f"/imports/{page['item']['id']}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def act(client: httpx.AsyncClient, page: dict[str, Any], name: str, **body: Any) -> dict[str, Any]:
    href = next(action["href"] for action in page["actions"] if action["name"] == name)
    answer = await client.post(href, json=body)
    assert answer.status_code == 200, answer.text
    return await show(client, page)


async def import_all(
    world: World, who: AccountMember, client: httpx.AsyncClient, content: bytes, **options: Any
) -> dict[str, Any]:
    page = await act(client, await upload(client, content), "map", **options)
    await run_queued_jobs(world, who)
    page = await act(client, await show(client, page), "run")
    await run_queued_jobs(world, who)
    return await show(client, page)


def counts(page: dict[str, Any]) -> tuple[int, int, int, int]:
    item = page["item"]
    return item["new"], item["changed"], item["unchanged"], item["bad"]
