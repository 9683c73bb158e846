"""Every list has the same pages: `limit`, `after` and `before`, and the addresses `next` and `previous`."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.response import Response

from app.web.openapi.document import build_document
from app.web.paging import GONE
from db.ids import uuid7
from tests.support.filled_account import FilledAccount, scene
from tests.support.route_permissions import Route
from tests.support.routes import PUBLIC, routes_of
from tests.support.world import World

__all__ = ["scene"]

# The name of the rows, where it is not `items`.
ROWS = {"/notifications": "read", "/roles": "rows"}
# Pages that contain a list in another list's place.
WHY = "/contacts/{contact_id}/why"
BESIDE = {"/mailbox/{message_id}"}


def lists(world: World) -> dict[str, str]:
    """The path of every list, and the name of its rows."""
    rows_by_path = {}
    for method, path, handler in routes_of(world.app):
        if method != "GET" or (method, path) in PUBLIC:
            continue
        kind = answer_of(handler)
        names = set(kind.__struct_fields__) if issubclass(kind, msgspec.Struct) else set()
        if "items" in names or path in ROWS:
            rows_by_path[path] = ROWS.get(path, "items")
    return rows_by_path


def answer_of(handler: HTTPRouteHandler) -> type[Any]:
    answer = handler.parsed_fn_signature.return_type
    inner = answer.inner_types[0] if answer.is_subclass_of(Response) and answer.inner_types else answer
    kind = inner.annotation
    return kind if isinstance(kind, type) else object


def test_every_list_takes_and_answers_the_same_names(world: World) -> None:
    rows_by_path = lists(world)
    assert len(rows_by_path) >= 17
    for method, path, handler in routes_of(world.app):
        if method == "GET" and path in rows_by_path:
            assert {"after", "before", "limit"} <= set(handler.opt["query"]), path
            assert {"next", "previous"} <= set(answer_of(handler).__struct_fields__), path


def test_the_document_says_the_range_of_a_page(world: World) -> None:
    paths: Any = build_document(world.app)["paths"]
    for path in lists(world):
        [limit] = [field for field in paths[path]["get"]["parameters"] if field["name"] == "limit"]
        assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 200), path


async def test_pages_of_one_row_lead_through_every_list_and_back(scene: FilledAccount) -> None:
    await more_rows(scene)
    script, browser = await scene.clients(scene.cast.owner)
    await script.post("/contacts", json={"first_name": "Bea"})
    problems, walked = [], set()
    for path, rows in lists(scene.world).items():
        address = Route("GET", path, "").at(scene.ids)
        address += {"/tasks": "?view=all", WHY: f"?workflow={scene.cast.workflow}"}.get(path, "")
        whole = (await script.get(address, params={**query_of(address), "limit": 200})).json()
        forth, last = await walk(script, address, rows, "next")
        back, _ = await walk(script, last, rows, "previous")
        listed = [identity(row) for row in whole[rows]]
        if forth != listed or list(reversed(back)) != listed[: len(back)] or len(back) != len(forth):
            problems.append(f"{path}: {len(listed)} rows, {len(forth)} forth, {len(back)} back")
        if len(listed) > 1:
            walked.add(path)
            page = (await browser.get(with_limit(address))).text
            if path not in BESIDE and 'rel="next"' not in page:
                problems.append(f"{path}: the page has no link to the next page")
    assert not problems, "\n".join(problems)
    assert set(lists(scene.world)) - walked == OF_ONE_ROW


# Lists with one row in the filled account.
OF_ONE_ROW = {"/workflows/{workflow_id}/hooks"}


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=-1", "limit=ten", "after=&limit=201"])
async def test_a_limit_out_of_range_is_refused(scene: FilledAccount, query: str) -> None:
    script, browser = await scene.clients(scene.cast.owner)
    problems = []
    for path in lists(scene.world):
        address = f"{Route('GET', path, '').at(scene.ids)}?{query}"
        refused = await script.get(address)
        if refused.status_code != 422 or set(refused.json()["errors"]) != {"limit"}:
            problems.append(f"{path}: {refused.status_code} {refused.text[:90]}")
        if (await browser.get(address)).status_code != 422:
            problems.append(f"{path} as a page")
    assert not problems, "\n".join(problems)


async def test_a_page_that_is_refused_costs_no_connection(scene: FilledAccount) -> None:
    _, browser = await scene.clients(scene.cast.owner)
    connections = (
        "select pid from pg_stat_activity where usename = 'app_user' and datname = current_database()"
    )
    assert (await browser.get("/tags")).status_code == 200
    before = {row["pid"] for row in await scene.world.sql(connections)}
    for query in ("limit=0", "after=x", "limit=ten&before=x"):
        assert (await browser.get(f"/tags?{query}")).status_code == 422
    assert before <= {row["pid"] for row in await scene.world.sql(connections)}


async def test_a_cursor_that_leads_nowhere_is_no_server_error(scene: FilledAccount) -> None:
    script, _ = await scene.clients(scene.cast.owner)
    for path in lists(scene.world):
        address = Route("GET", path, "").at(scene.ids)
        for cursor in ("after", "before"):
            gone = await script.get(address, params={cursor: "01a20b58-0000-7000-8000-000000000000"})
            assert gone.status_code in (200, 422), f"{path}: {gone.text}"
            assert (await script.get(address, params={cursor: "x"})).status_code == 422, path
        both = {"after": str(scene.cast.task), "before": str(scene.cast.task)}
        assert (await script.get(address, params=both)).json()["errors"].keys() == {"before"}, path


async def test_a_task_that_left_the_view_is_refused_as_a_cursor(scene: FilledAccount) -> None:
    await scene.world.sql("update tasks set completed_at = now() where id = $1", scene.cast.task)
    await more_rows(scene)
    script, browser = await scene.clients(scene.cast.owner)
    first = (await script.get("/tasks?view=done&limit=1")).json()
    [item] = first["items"]
    assert first["next"]
    await script.delete(f"/tasks/{item['id']}/completion")
    left = await script.get(first["next"])
    assert (left.status_code, left.json()["errors"]) == (422, {"after": GONE})
    assert GONE in (await browser.get(first["next"])).text
    alone = (await script.get("/tasks?view=done")).json()
    last = await script.get("/tasks", params={"view": "done", "after": alone["items"][-1]["id"]})
    assert (last.status_code, last.json()["items"]) == (200, []), "the end of the list is no error"
    due = await script.get("/tasks", params={"view": "all", "after": item["id"]})
    assert (due.status_code, due.json()["items"]) == (200, []), "open tasks without a due time come last"


async def test_a_question_that_is_gone_is_refused_as_a_cursor(scene: FilledAccount) -> None:
    await more_rows(scene)
    script, _ = await scene.clients(scene.cast.owner)
    first = (await script.get("/approvals?limit=1")).json()
    last = (await script.get(first["next"])).json()
    after_last = await script.get("/approvals", params={"after": last["items"][0]["id"]})
    assert (after_last.status_code, after_last.json()["items"]) == (200, [])
    await scene.world.sql("delete from approvals where id = $1", UUID(first["items"][0]["id"]))
    for cursor in ("after", "before"):
        gone = await script.get(first["next"].replace("after=", f"{cursor}="))
        assert (gone.status_code, gone.json()["errors"]) == (422, {cursor: GONE})


async def walk(client: httpx.AsyncClient, address: str, rows: str, direction: str) -> tuple[list[Any], str]:
    """The identities of all rows, one page of one row after the other, and the address of the last page."""
    identities: list[Any] = []
    following = with_limit(address)
    while following:
        address, page = following, (await client.get(following)).json()
        assert len(page[rows]) <= 1, f"{address}: {len(page[rows])} rows"
        identities += [identity(row) for row in page[rows]]
        following = page[direction]
        assert not following or query_of(following)["limit"] == "1", f"{address} → {following}"
        assert len(identities) < 200, f"{address} does not end"
    return identities, address


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def with_limit(address: str) -> str:
    return address if "limit=" in address else f"{address}{'&' if '?' in address else '?'}limit=1"


def identity(row: dict[str, Any]) -> Any:
    """What tells rows apart."""
    names = ("id", "user_id", "number", "trigger", "permission", "event_id")
    return next(row[name] for name in names if name in row)


# What is unique in each table, as SQL of a second row.
UNIQUE = {
    "tags": {"name": "name || '2'", "slug": "slug || '2'"},
    "custom_fields": {"label": "label || '2'", "key": "key || '2'"},
    "segments": {"name": "name || '2'", "slug": "slug || '2'"},
    "imports": {},
    "tasks": {},
    "jobs": {},
    "workflows": {"name": "name || '2'"},
    "mailbox_messages": {},
    "notifications": {"read_at": "now()"},
    "enrollments": {
        "status": "'completed'",
        "ended_at": "now()",
        "due_at": "null",
        "event_id": "gen_random_uuid()",
    },
    "approvals": {"seq": "seq + 1"},
    "events": {},
    "workflow_versions": {"number": "number + 1"},
    "access_tokens": {"token_hash": "token_hash || '\\x02'"},
}


async def more_rows(scene: FilledAccount) -> None:
    """A second row in the lists of the filled account that have one."""
    world, account = scene.world, scene.cast.account
    await world.sql("update approvals set status = 'open', users = '[]' where account_id = $1", account)
    await world.sql("update notifications set read_at = created_at where account_id = $1", account)
    for table, unique in UNIQUE.items():
        columns = "".join(f", '{name}', {value}" for name, value in unique.items())
        key = "'id', cast($2 as uuid)" if table != "workflow_versions" else "'published_by', cast($2 as uuid)"
        await world.sql(
            f"insert into {table} select (jsonb_populate_record(t, to_jsonb(t) || "  # noqa: S608 -- our names
            f"jsonb_build_object({key}{columns}))).* from {table} t where t.account_id = $1 limit 1",
            account,
            uuid7(),
        )
    await world.person("viewer", account)
