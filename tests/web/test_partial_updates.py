"""A missing field of an edit stays as it is, null clears it: over every optional field of every route that
edits something. A route with optional fields is in `EDITS` or, with its reason, in `NO_EDITS`."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest

from app.filters.rows import RowButtons
from tests.support.routes import routes_of
from tests.support.sample_account import Cast, cast_of
from tests.support.world import World

Read = Callable[[World, Cast], Awaitable[dict[str, Any]]]
DAY, NIGHT = {"days": [0], "start": "10:00", "end": "11:00", "zone": "contact"}, {"start": "20:00"}
NORTH = {"type": "predicate", "field": "city", "op": "is", "value": "Oslo"}
SOUTH = {"type": "predicate", "field": "city", "op": "is", "value": "Rome"}


TEXTS = (
    "first_name", "last_name", "company", "address", "city", "county", "state", "postal_code", "external_id"
)  # fmt: skip


@dataclass
class Edit:
    """A route: what stands before, other values for each field, and what is stored. `cleared` is what null
    leaves of the fields that take it; `needed` are fields that say which revision was looked at."""

    first: dict[str, Any]
    then: dict[str, Any]
    cleared: dict[str, Any]
    read: Read
    needed: tuple[str, ...] = ()


async def row(world: World, table: str, row_id: Any) -> dict[str, Any]:
    [record] = await world.sql(f"select * from {table} where id = $1", row_id)  # noqa: S608 -- a constant
    return dict(record)


async def account(world: World, cast: Cast) -> dict[str, Any]:
    return await row(world, "accounts", cast.account)


async def field(world: World, cast: Cast) -> dict[str, Any]:
    record = await row(world, "custom_fields", cast.field)
    default = json.loads(record["default_value"]) if record["default_value"] else None
    return record | {"group": record["group_name"], "default": default, "retired": bool(record["retired_at"])}


async def task(world: World, cast: Cast) -> dict[str, Any]:
    record = await row(world, "tasks", cast.task)
    return record | {
        "due": str(record["due_at"] or ""),
        "assignee": str(record["assignee_id"] or ""),
        "repeats": record["repeats"] or "",
    }


async def segment(world: World, cast: Cast) -> dict[str, Any]:
    record = await row(world, "segments", cast.segment)
    stored = json.loads(record["filter"])
    return {
        "name": record["name"],
        "rev": record["rev"],
        "match": stored.get("match", "all"),
        "f": stored.get("items"),
    }


async def contact(world: World, cast: Cast) -> dict[str, Any]:
    record = await row(world, "contacts", cast.contact)
    fields = json.loads(record["fields"])
    owner, others = record["owner_id"] and str(record["owner_id"]), json.loads(record["other_phones"])
    return record | {"owner": owner, "fields": fields, "other_phones": others[1:]}  # the first is phone2


async def value(world: World, cast: Cast) -> dict[str, Any]:
    return {"value": (await contact(world, cast))["city"], "rev": (await contact(world, cast))["rev"]}


async def mapping(world: World, cast: Cast) -> dict[str, Any]:
    record = await row(world, "imports", cast.upload)
    options = json.loads(record["options"])
    return {
        "columns": json.loads(record["mapping"]), "tags": options.get("tags"),
        "existing": options.get("existing"), "first_line": options.get("has_header", True),
        "source": options.get("source"),
    }  # fmt: skip


async def workflow(world: World, cast: Cast) -> dict[str, Any]:
    return await row(world, "workflows", cast.workflow)


async def settings(world: World, cast: Cast) -> dict[str, Any]:
    [record] = await world.sql(
        "select rev, draft from workflow_revisions where workflow_id = $1 order by rev desc limit 1",
        cast.workflow,
    )
    draft: dict[str, Any] = json.loads(record["draft"])
    return {**draft["settings"]} | {"rev": record["rev"], "filter": draft["entry"]}


EDITS: dict[str, Callable[[Cast], Edit]] = {
    "/account": lambda _: Edit(
        {"name": "A", "default_region": "IT", "time_zone": "Europe/Rome"},
        {"name": "B", "default_region": "US", "time_zone": "UTC"},
        {},
        account,
    ),
    "/contacts/{contact_id}": lambda cast: Edit(
        dict.fromkeys(TEXTS, "A") | {
            "email": "a@acme.example", "phone": "+390612345678", "phone2": "+390612345679",
            "website": "https://a.example", "time_zone": "Europe/Rome", "country": "IT",
            "owner": str(cast.owner.user_id), "email_consent": "granted", "sms_consent": "denied",
            "email_label": "A", "other_emails": [], "phone_label": "A",
            "other_phones": [{"value": "+390612345679"}], "fields": {str(cast.field): "pro"},
        },
        dict.fromkeys(TEXTS, "B") | {
            "email": "b@acme.example", "phone": "+390612345670", "phone2": "+390612345671",
            "website": "https://b.example", "time_zone": "UTC", "country": "FR", "email_consent": "denied",
            "sms_consent": "granted", "email_label": "B", "other_emails": [{"value": "c@acme.example"}],
            "phone_label": "B", "other_phones": [{"value": "+390612345671"}, {"value": "+390612345672"}],
            "fields": {str(cast.field): "free"},
        },
        dict.fromkeys(
            (
                *TEXTS, "email", "phone", "phone2", "website", "time_zone", "country", "owner",
                "email_label", "phone_label",
            )
        ),
        contact,
    ),
    "/contacts/{contact_id}/fields/{key}": lambda _: Edit(
        {"value": "A"}, {"value": "B"}, {"value": None}, value
    ),
    "/fields/{field_id}": lambda _: Edit(
        {"label": "A", "key": "a", "options": "pro\nfree", "group": "A", "required": True, "default": "pro",
         "retired": True},
        {"label": "B", "key": "b", "options": "pro\nfree\nmore", "group": "B", "required": False,
         "default": "free", "retired": False},
        {"group": "", "default": None},
        field,
    ),
    "/imports/{import_id}/mapping": lambda _: Edit(
        {"columns": {"0": "email", "1": "city"}, "tags": "a, b", "existing": "skip", "first_line": "names",
         "source": "hubspot"},
        {"columns": {"1": "state"}, "tags": "c", "existing": "update", "first_line": "person", "source": "x"},
        {"tags": [], "source": ""},
        mapping,
    ),
    "/segments/{segment_id}": lambda _: Edit(
        {"name": "A", "f": ["city:is:Oslo", "state:is:CA"], "match": "any"},
        {"name": "B", "match": "all", "f": ["city:is:Rome", "state:is:CA"]},
        {},
        segment,
    ),
    "/tasks/{task_id}": lambda cast: Edit(
        {"title": "A", "body": "A", "due": "2030-01-01T10:00", "assignee": str(cast.owner.user_id),
         "repeats": "weekly"},
        {"title": "B", "body": "B", "due": "2031-01-01T10:00", "repeats": "daily"},
        {"body": "", "due": "", "assignee": "", "repeats": ""},
        task,
    ),
    "/workflows/{workflow_id}": lambda _: Edit(
        {"name": "A", "description": "A"}, {"name": "B", "description": "B"}, {"description": ""}, workflow
    ),
    "/workflows/{workflow_id}/entry": lambda _: Edit(
        {"filter": NORTH}, {"filter": SOUTH}, {"filter": None}, settings, ("rev",)
    ),
    "/workflows/{workflow_id}/settings": lambda _: Edit(
        {"reentry": "after_exit", "cooldown": 3, "cooldown_unit": "hours", "key_field": "email",
         "audience": "current_only", "settle_seconds": 3, "window": DAY, "leave_when_unmatched": True,
         "entry_cap": 3},
        {"reentry": "restart", "cooldown": 4, "cooldown_unit": "minutes", "key_field": "phone",
         "audience": "current_and_future", "settle_seconds": 4, "window": NIGHT,
         "leave_when_unmatched": False, "entry_cap": 4},
        {"cooldown": 0, "key_field": "", "settle_seconds": 0, "window": None, "entry_cap": 0},
        settings,
        ("rev",),
    ),
}  # fmt: skip
# Which revision was looked at, where a field moves, and what only fields for money have (in test_fields).
NO_VALUES = {"rev", "move", "position", "currency"}
BUTTONS = {field.encode_name for field in msgspec.structs.fields(RowButtons)}
NO_EDITS = {
    "/contacts": "makes one",
    "/contacts/bulk/consent": "a job over a selection",
    "/contacts/bulk/deletion": "a job over a selection",
    "/contacts/bulk/restoration": "a job over a selection",
    "/contacts/bulk/tags": "a job over a selection",
    "/contacts/filter": "answers a URL",
    "/contacts/{contact_id}/addresses": "adds one",
    "/contacts/{contact_id}/tasks": "makes one",
    "/fields": "makes one",
    "/fields/{field_id}/deletion": "`expected` confirms a number",
    "/imports": "makes one",
    "/invitations/{token}": "accepts one",
    "/members": "makes one",
    "/segments": "makes one",
    "/sessions": "makes one",
    "/tags/{tag_id}/deletion": "`expected` confirms a number",
    "/completions/{completion_id}/restoration": "`view` says where a browser goes on",
    "/tasks/bulk/completion": "completes some",
    "/tasks/{task_id}/snooze": "gives another due time",
    "/tasks/{task_id}/completion": "`back` says where a browser goes on",
    "/tasks/{task_id}/completion/deletion": "`back` says where a browser goes on",
    "/tasks/{task_id}/deletion": "`back` says where a browser goes on",
    "/tasks/{task_id}/restoration": "`back` says where a browser goes on",
    "/tokens": "makes one",
    "/workflows": "makes one",
    "/workflows/{workflow_id}/enrollments": "makes some",
    "/workflows/{workflow_id}/hooks": "makes an address",
    "/workflows/{workflow_id}/publication": "makes a version",
    "/workflows/{workflow_id}/steps": "makes one",
    "/workflows/{workflow_id}/steps/{key}": "in test_edits_of_steps",
    "/workflows/{workflow_id}/steps/{key}/position": "moves one",
    "/workflows/{workflow_id}/triggers": "makes one",
    "/workflows/{workflow_id}/triggers/{key}": "in test_edits_of_steps",
}


def optional(world: World) -> dict[str, set[str]]:
    """Every POST route whose body has fields that may be left out, with those fields."""
    listed: dict[str, set[str]] = {}
    for method, path, handler in routes_of(world.app):
        data = handler.parsed_fn_signature.parameters.get("data")
        if method == "POST" and data is not None:
            fields = msgspec.structs.fields(data.annotation)
            names = {field.encode_name for field in fields if not field.required} - NO_VALUES
            names -= BUTTONS if issubclass(data.annotation, RowButtons) else set()
            listed |= {path: names} if names else {}
    return listed


def test_every_route_with_optional_fields_is_listed(world: World) -> None:
    assert {path: set() for path in optional(world)} == {path: set() for path in (*EDITS, *NO_EDITS)}
    assert not EDITS.keys() & NO_EDITS.keys()


def href_of(path: str, cast: Cast) -> str:
    ids = {"contact_id": cast.contact, "field_id": cast.field, "import_id": cast.upload, "key": "city",
           "segment_id": cast.segment, "task_id": cast.task, "workflow_id": cast.workflow}  # fmt: skip
    return path.format(**ids)


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize("path", EDITS)
async def test_missing_fields_stay_and_null_clears(world: World, path: str) -> None:
    cast = await cast_of(world)
    edit, href = EDITS[path](cast), href_of(path, cast)
    assert edit.first.keys() == optional(world)[path], "a field without a test"

    async def send(script: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
        await world.sql("update imports set status = 'uploaded', applied = 0, job_id = null")
        stored = await edit.read(world, cast)
        answer = await script.post(href, json=body | {name: stored[name] for name in edit.needed})
        assert answer.status_code == 200, (body, answer.text)
        return await edit.read(world, cast)

    async with world.script(cast.owner) as script:
        await world.sql("update contacts set fields = '{}' where id = $1", cast.contact)
        before = await send(script, edit.first)
        names = edit.first.keys()
        for name, changed in edit.then.items():
            after = await send(script, {name: changed})
            assert differences(before, after) & names == {name}, name
            before = after
        assert differences(before, await send(script, {})) & names == set()
        for name, empty in edit.cleared.items():
            before = await send(script, edit.first)
            after = await send(script, {name: None})
            assert (differences(before, after) & names, after[name]) == ({name}, empty), name
