"""F05: when a commit fails, every route that changes something answers 503 with Retry-After. It never answers
2xx, and nothing is half-written."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import pytest
from litestar.exceptions import LitestarException

from app.engine.core.triggers import InboundWebhook
from app.settings import Settings
from db.ids import uuid7
from tests.faults.injector import Fault, Kind, injected
from tests.support import webhook_kit
from tests.support.approval_kit import ask
from tests.support.fakes import Outside, TestClock
from tests.support.filled_account import FilledAccount, scene, snapshot
from tests.support.route_permissions import Route, guarded
from tests.support.web_kit import JSON, OWN
from tests.support.world import PASSWORD, World

__all__ = ["scene"]

TRIGGER_FUNCTION = """
create or replace function fail_at_commit() returns trigger language plpgsql as $$
begin
  if session_user = 'app_user' then
    raise exception 'the commit fails' using errcode = '40001';
  end if;
  return null;
end $$;
"""
# Each request writes when its session was last used, which is not what a route changes.
COLUMN_UPDATES = {"sessions": "update of revoked_at", "access_tokens": "update of revoked_at"}
OTHER_EMAIL = (
    "contacts",
    """other_emails = '[{"value": "bea@example.com", "label": ""}]'""",
    "other_emails = '[]'",
)
# By route: a table, the change that makes the route possible, and the change back.
TWEAKS = {
    "/breakers/{workflow_id}/{step_key}/trial": (
        "circuit_breakers",
        "state = 'open', opened_at = now(), until = now() + interval '1 hour'",
        "state = 'closed', opened_at = null, until = null",
    ),
    "/tasks/{task_id}/completion/deletion": ("tasks", "completed_at = now()", "completed_at = null"),
    "/workflows/{workflow_id}/hold/deletion": ("workflows", "held = true", "held = false"),
    "/contacts/{contact_id}/addresses/deletion": OTHER_EMAIL,
    "/contacts/{contact_id}/addresses/primary": OTHER_EMAIL,
    "/contacts/{contact_id}/restoration": ("contacts", "deleted_at = now()", "deleted_at = null"),
    "/contacts/bulk/restoration": ("contacts", "deleted_at = now()", "deleted_at = null"),
    "/notes/{note_id}/restoration": ("notes", "deleted_at = now()", "deleted_at = null"),
    "/tasks/{task_id}/restoration": ("tasks", "deleted_at = now()", "deleted_at = null"),
    "/completions/{completion_id}/restoration": (
        "tasks",
        "completed_at = now(), completion_id = id",
        "completed_at = null, completion_id = null",
    ),
    "/fields/{field_id}/index": ("custom_fields", "type = 'number'", "type = 'select'"),
    "/fields/{field_id}/index/deletion": ("custom_fields", "slot = 1", "slot = null"),
    "/effects/{effect_id}/cancellation": ("effects", "status = 'pending'", "status = 'unknown'"),
    "/effects/{effect_id}/retry": ("effects", "status = 'retry'", "status = 'unknown'"),
    "/enrollments/{enrollment_id}/jump": ("effects", "status = 'sent'", "status = 'unknown'"),
    "/enrollments/{enrollment_id}/pause/deletion": ("enrollments", "paused_at = now()", "paused_at = null"),
    "/enrollments/{enrollment_id}/retry": ("enrollments", "status = 'failed'", "status = 'active'"),
    "/imports/{import_id}/cancellation": ("imports", "status = 'ready'", "status = 'done'"),
    "/imports/{import_id}/mapping": (
        "imports",
        "status = 'ready', applied = 0",
        "status = 'done', applied = 1",
    ),
    "/imports/{import_id}/run": ("imports", "status = 'ready'", "status = 'done'"),
    "/jobs/{job_id}/cancellation": ("jobs", "status = 'queued'", "status = 'failed'"),
    "/jobs/{job_id}/undo": ("jobs", "task = 'bulk.delete'", "task = 'bulk_tag'"),
    "/workflows/{workflow_id}/pause/deletion": ("workflows", "status = 'paused'", "status = 'active'"),
}
# The second table of routes that need two.
SECOND_TWEAKS = {
    "/enrollments/{enrollment_id}/retry": ("effects", "status = 'sent'", "status = 'unknown'"),
    "/jobs/{job_id}/undo": (
        "contacts",
        (
            "deleted_at = now(), deletion_job_id = (select id from jobs where account_id = $1"
            " and task = 'bulk.delete')"
        ),
        "deleted_at = null, deletion_job_id = null",
    ),
}
# Bodies that are accepted; a text that names an id of the filled account stands for it.
BODIES: dict[str, dict[str, Any]] = {
    "/account": {"name": "New", "default_region": "US", "time_zone": "Europe/Paris"},
    "/contacts": {"first_name": "Bea"},
    "/contacts/bulk/consent": {"all": True, "state": "denied"},
    "/contacts/bulk/deletion": {"all": True},
    "/contacts/bulk/restoration": {"all": True},
    "/contacts/bulk/tags": {"all": True, "tag": "many"},
    "/contacts/{contact_id}": {"first_name": "Bea"},
    "/contacts/{contact_id}/addresses/deletion": {"kind": "email", "address": "bea@example.com"},
    "/contacts/{contact_id}/addresses/primary": {"kind": "email", "address": "bea@example.com"},
    "/contacts/{contact_id}/fields/{key}": {"value": "Bea"},
    "/fields": {"label": "New", "type": "text"},
    "/fields/{field_id}": {"label": "Taken", "options": "free\npro"},
    "/imports/{import_id}/mapping": {"columns": {"0": "email"}},
    "/members": {"email": "new@acme.example", "role": "viewer", "name": "New"},
    "/members/{user_id}/role": {"role": "operator"},
    "/password": {"current_password": PASSWORD, "new_password": "a longer horse battery staple"},
    "/sessions/current/account": {"account_id": "other_account"},
    "/segments": {"name": "New", "f": ["state:is:CA"]},
    "/tags": {"name": "new"},
    "/tasks/bulk/completion": {"ids": ["task_id"]},
    "/tasks/{task_id}": {"title": "Other"},
    "/tasks/{task_id}/snooze": {"until": "tomorrow"},
    "/tokens": {"name": "new", "scopes": ["view"]},
    "/workflows": {"name": "New"},
    "/workflows/{workflow_id}/enrollments": {"contact": "contact_id"},
    "/workflows/{workflow_id}/steps/{key}": {
        "config": {"kind": "send_email", "subject": "Other", "body": "Other"}, "rev": 0,
    },
}  # fmt: skip
# Routes that refuse what this test can send, with the reason.
REFUSED = {
    "POST /approvals/{approval_id}/answer": "no enrollment waits for this approval; see below",
    "POST /contacts/filter": "it answers a URL and stores nothing; the body of this test has no rows",
    "POST /workflows/{workflow_id}/hooks": "the account has no published trigger that takes webhooks",
}
# Routes that commit with `Work.commit`.
COMMIT_BY_WORK = (
    "/account", "/breakers", "/completions", "/contacts", "/effects", "/enrollments", "/fields", "/imports",
    "/jobs", "/members", "/notes", "/notifications", "/segments", "/tags", "/tasks", "/tokens", "/workflows",
)  # fmt: skip
NOT_OF_AN_ACCOUNT = ("workers", "engine_state", "inflight_batches", "alembic_version")


@asynccontextmanager
async def commits_fail(world: World) -> AsyncIterator[None]:
    """PostgreSQL refuses every write when it is committed, by a deferred trigger on each table."""
    rows = await world.sql("select tablename from pg_tables where schemaname = 'public'")
    tables = [row["tablename"] for row in rows if row["tablename"] not in NOT_OF_AN_ACCOUNT]
    await world.sql(TRIGGER_FUNCTION)
    for table in tables:
        update = COLUMN_UPDATES.get(table, "update")
        await world.sql(
            f"create constraint trigger fail_at_commit after insert or delete or {update} on {table} "
            "deferrable initially deferred for each row execute function fail_at_commit()"
        )
    try:
        yield
    finally:
        for table in tables:
            await world.sql(f"drop trigger fail_at_commit on {table}")


async def test_a_commit_that_fails_is_never_a_success(scene: FilledAccount, ready: dict[str, str]) -> None:
    (script, _) = await scene.clients(scene.cast.owner)
    before = await snapshot(scene.world, scene.cast)
    problems, refused = [], set()
    async with commits_fail(scene.world):
        for route in guarded():
            if route.method != "POST":
                continue
            answer = await post_valid_body(script, scene, route)
            if answer.status_code < 400:
                problems.append(f"{route}: {answer.status_code} although nothing was saved")
            elif answer.status_code < 500:
                refused.add(str(route))
                if str(route) not in REFUSED:
                    problems.append(f"{route} is refused: {answer.status_code} {answer.text[:120]}")
            elif (answer.status_code, answer.headers.get("retry-after")) != (503, "2"):
                problems.append(f"{route}: {answer.status_code} {answer.headers.get('retry-after')}")
    assert not problems, "\n".join(problems)
    assert refused == REFUSED.keys(), "no longer refused: remove it from REFUSED"
    assert await snapshot(scene.world, scene.cast) == before


async def test_signing_in_fails_when_its_session_is_not_stored(scene: FilledAccount) -> None:
    (email,) = await scene.world.sql("select email from users where id = $1", scene.cast.owner.user_id)
    body = {"email": email["email"], "password": PASSWORD}
    count = "select count(*) as sessions from sessions"
    (script, _) = await scene.clients(scene.cast.owner)
    (before,) = await scene.world.sql(count)
    async with commits_fail(scene.world):
        answer = await script.post("/sessions", json=body)
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), answer.text
    assert "set-cookie" not in answer.headers
    (after,) = await scene.world.sql(count)
    assert after["sessions"] == before["sessions"]
    assert (await script.post("/sessions", json=body)).status_code < 300, (
        "the same body is accepted afterwards"
    )


async def test_an_inbound_delivery_fails_when_it_is_not_stored(world: World) -> None:
    member = await world.person()
    await webhook_kit.contact(world, member.account_id)
    path, _ = await webhook_kit.address(
        world, member, await webhook_kit.flow(world, member.account_id, InboundWebhook())
    )
    async with commits_fail(world):
        answer = await webhook_kit.post(world, path, webhook_id="d1")
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), answer.text
    assert await webhook_kit.events(world, member.account_id) == []
    assert (await webhook_kit.post(world, path, webhook_id="d1")).status_code == 202, (
        "the same delivery is accepted afterwards"
    )


async def test_an_answer_to_an_approval_fails_when_it_is_not_stored(
    world: World, clock: TestClock, outside: Outside
) -> None:
    approval = await ask(world, clock, outside)
    async with world.script(approval.owner) as script:
        async with commits_fail(world):
            answer = await script.post(approval.path, json={"option": "a2"})
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), answer.text
        assert (await approval.row())["status"] == "open"
        assert (await script.post(approval.path, json={"option": "a2"})).status_code < 300


async def test_a_new_password_fails_when_it_is_not_stored(world: World) -> None:
    """The request for a link always gets the same answer, so that it does not tell which addresses are users.
    If it can't be stored, no email with a dead link goes out."""
    member = await world.person()
    async with world.client(**JSON, **OWN) as client:
        (row,) = await world.sql("select email from users where id = $1", member.user_id)
        async with commits_fail(world):
            with suppress(LitestarException):  # after the answer, in this process
                await client.post("/password-reset", json={"email": row["email"]})
        assert world.mails == []
        await client.post("/password-reset", json={"email": row["email"]})
        path = re.search(r"/password-reset/\S+", world.mails[0][2])
        assert path is not None
        body = {"new_password": "a longer horse battery staple"}
        async with commits_fail(world):
            answer = await client.post(path[0], json=body)
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "2"), answer.text
        old = {"email": row["email"], "password": PASSWORD}
        assert (await client.post("/sessions", json=old)).status_code < 300, "the old password still works"
        assert (await client.post(path[0], json=body)).status_code < 300, "the link still works"


async def test_a_connection_cut_right_before_the_commit_is_never_a_success(
    scene: FilledAccount, ready: dict[str, str], settings: Settings
) -> None:
    (script, _) = await scene.clients(scene.cast.owner)
    before = await snapshot(scene.world, scene.cast)
    problems, cut = [], 0
    for route in guarded():
        if route.method != "POST" or not route.path.startswith(COMMIT_BY_WORK) or str(route) in REFUSED:
            continue
        fault = Fault("work.commit.before", Kind.DROP, database_url=settings.database_url)
        with injected(fault):
            answer = await post_valid_body(script, scene, route)
        cut += fault.has_fired
        if (answer.status_code, answer.headers.get("retry-after")) != (503, "2"):
            problems.append(f"{route}: {answer.status_code} {answer.text[:120]}")
    assert not problems, "\n".join(problems)
    assert cut >= 60
    assert await snapshot(scene.world, scene.cast) == before


async def post_valid_body(client: httpx.AsyncClient, scene: FilledAccount, route: Route) -> httpx.Response:
    """Call the route with a body that it accepts, on rows that make it possible."""
    matching_tweaks = [tweaks[route.path] for tweaks in (TWEAKS, SECOND_TWEAKS) if route.path in tweaks]
    for table, change, _ in matching_tweaks:
        await update_rows(scene, table, change)
    (row,) = await scene.world.sql("select rev from workflows where id = $1", scene.cast.workflow)
    body = BODIES.get(route.path, route.body)
    body = {
        key: [scene.ids.get(item, item) for item in value]
        if isinstance(value, list)
        else scene.ids.get(value, value)
        if isinstance(value, str)
        else value
        for key, value in body.items()
    }
    body = body | {"rev": row["rev"]} if "rev" in route.body else body
    path = route.at(
        scene.ids | ({"tag_id": scene.ids["free_tag"]} if route.path == "/tags/{tag_id}/deletion" else {})
    )
    try:
        if route.path == "/imports":
            return await client.post(path, files={"file": ("a.csv", b"email\na@b.example\n", "text/csv")})
        return await client.post(
            path, content=msgspec.json.encode(body), headers={"content-type": "application/json"}
        )
    finally:
        for table, _, back in matching_tweaks:
            await update_rows(scene, table, back)


async def update_rows(scene: FilledAccount, table: str, change: str) -> None:
    statement = f"update {table} set {change} where account_id = $1"  # noqa: S608 -- texts of ours
    await scene.world.sql(statement, scene.cast.account)


@pytest.fixture
async def ready(scene: FilledAccount) -> dict[str, str]:
    """Another member in the account, another account, an unused tag, a draft to publish and undo."""
    world, owner = scene.world, scene.cast.owner
    invited = await world.person("viewer", owner.account_id, password=None)
    other = await world.account("Other")
    await world.join(owner.user_id, other, "owner")
    free = uuid7()
    await world.sql(
        "insert into tags (account_id, id, name, slug) values ($1, $2, 'free', 'free')",
        owner.account_id,
        free,
    )
    scene.ids |= {"user_id": invited.user_id, "free_tag": free, "other_account": str(other)}
    (script, _) = await scene.clients(owner)
    steps = f"/workflows/{scene.cast.workflow}"
    for path, rev in ((f"{steps}/steps", 1), (f"{steps}/steps", 2), (f"{steps}/undo", 3)):
        answer = await script.post(
            path, json={"rev": rev, "kind": "exit"} if "steps" in path[-5:] else {"rev": rev}
        )
        assert answer.status_code < 300, answer.text
    return {}
