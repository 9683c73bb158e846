"""A missing field of an edit stays as it is: over every field of every kind of step and trigger."""

import json
from dataclasses import dataclass
from typing import Any, get_args

import httpx
import msgspec
import msgspec.inspect
import pytest

from app.engine.core.steps import KINDS
from app.engine.core.triggers import TRIGGERS
from app.workflows.schemas import inputs
from tests.support.builder_kit import new_workflow
from tests.support.world import AccountMember, World


@dataclass
class NamedRows:
    """What configs may name: two of each."""

    owner: str
    segments: list[str]
    workflows: list[str]
    dates: list[str]


Pair = tuple[dict[str, Any], dict[str, Any]]
CITY_FILTER = {"type": "predicate", "field": "city", "op": "is", "value": "Oslo"}
ROW_FILTER = {"type": "rows", "match": "any", "rows": [{"field": "state", "op": "is", "value": "CA"}]}
DAY, NIGHT = {"days": [0, 4], "zone": "contact"}, {"start": "20:00", "end": "06:00"}


def send_pairs(things: NamedRows) -> dict[str, Pair]:
    """For each kind a config, and for each of its fields another value that may stand beside the others."""
    me = things.owner
    return {
        "send_email": (
            {"subject": "A", "body": "A", "from_name": "A", "reply_to": "a@acme.example",
             "on_doubt": "resend", "transactional": True, "window": DAY},
            {"subject": "B", "body": "B", "from_name": "B", "reply_to": "b@acme.example", "on_doubt": "hold",
             "transactional": False, "window": NIGHT},
        ),
        "send_sms": (
            {"body": "A", "on_doubt": "resend", "transactional": True, "window": DAY},
            {"body": "B", "on_doubt": "hold", "transactional": False, "window": None},
        ),
        "notify": (
            {"to": "users", "users": [me], "title": "A", "body": "A", "email": True},
            {"to": "everyone", "users": [], "title": "B", "body": "B", "email": False},
        ),
        "chat": (
            {"channel": "#a", "text": "A", "on_doubt": "hold", "window": DAY},
            {"channel": "#b", "text": "B", "on_doubt": "resend", "window": None},
        ),
        "webhook": (
            {"url": "https://a.example/x", "method": "PUT", "headers": {"x-a": "1"}, "body": "{}",
             "on_doubt": "hold", "save_as": "a", "window": DAY},
            {"url": "https://b.example/x", "method": "PATCH", "headers": {"x-b": "2"},
             "more_headers": [{"name": "x-c", "value": "3"}], "body": '{"b": 1}', "on_doubt": "resend",
             "save_as": "b", "window": None},
        ),
    }  # fmt: skip


def contact_pairs(things: NamedRows) -> dict[str, Pair]:
    me = things.owner
    return {
        "add_tag": ({"tag": "vip"}, {"tag": "other"}),
        "remove_tag": ({"tag": "vip"}, {"tag": "other"}),
        "update_field": (
            {"operation": "set", "field": "city", "value": "A", "source": "state"},
            {"operation": "copy", "field": "county", "value": "B", "source": "country"},
        ),
        "assign_owner": (
            {"mode": "user", "users": [me], "only_if_unassigned": True},
            {"mode": "round_robin", "users": [], "only_if_unassigned": False},
        ),
        "add_note": ({"text": "A"}, {"text": "B"}),
        "create_task": (
            {"title": "A", "body": "A", "assignee": "user", "user": me, "has_due": True, "amount": 3,
             "unit": "hours"},
            {"title": "B", "body": "B", "assignee": "nobody", "user": None, "has_due": False, "amount": 4,
             "unit": "minutes"},
        ),
        "set_consent": ({"channel": "sms", "state": "denied"}, {"channel": "email", "state": "unknown"}),
        "delete_contact": ({}, {}),
    }  # fmt: skip


def flow_pairs(things: NamedRows) -> dict[str, Pair]:
    me, workflow = things.owner, things.workflows[0]
    return {
        "wait": (
            {"mode": "duration", "amount": 3, "unit": "hours", "until": "2030-01-01T10:00", "offset": 2,
             "at": "09:30", "weekdays": [0, 2], "month_day": 3, "past": "exit"},
            {"amount": 4, "unit": "days", "until": "2031-01-01T10:00", "field": things.dates[0], "offset": -2,
             "at": "", "weekdays": [], "month_day": 0, "past": "continue", "skip_to": "s9", "mode": "until"},
        ),
        "wait_for": (
            {"mode": "event", "event": "tag.added", "about": "vip", "filter": CITY_FILTER, "amount": 2,
             "unit": "hours"},
            {"about": "other", "filter": ROW_FILTER, "amount": 3, "unit": "days", "mode": "condition",
             "event": "tag.removed"},
        ),
        "branch": (
            {"branches": [{"name": "A", "filter": CITY_FILTER}], "else_name": "A"},
            {
                "branches": [
                    {"name": "B", "filter": ROW_FILTER}, {"name": "C", "filter": CITY_FILTER},
                ],
                "else_name": "B",
            },
        ),
        "split": (
            {"lanes": [{"name": "A", "weight": 1}, {"name": "B", "weight": 3}]},
            {"lanes": [{"name": "A", "weight": 2}, {"name": "B", "weight": 3}]},
        ),
        "approval": (
            {"question": "A", "options": [{"name": "Yes"}, {"name": "No"}], "users": [me], "amount": 3,
             "unit": "hours"},
            {"question": "B", "options": [{"name": "Yes"}, {"name": "Never"}], "users": [], "amount": 4,
             "unit": "days"},
        ),
        "goal": (
            {"name": "A", "filter": CITY_FILTER, "on_unmet": "wait", "amount": 3, "unit": "hours"},
            {"name": "B", "filter": ROW_FILTER, "on_unmet": "continue", "amount": 4, "unit": "days"},
        ),
        "go_to": ({"step": "s1"}, {"step": "s2"}),
        "drip": (
            {"count": 5, "amount": 2, "unit": "days"},
            {"count": 6, "amount": 3, "unit": "hours"},
        ),
        "add_to_workflow": ({"workflow": workflow}, {"workflow": things.workflows[1]}),
        "remove_from_workflow": ({"workflow": workflow}, {"workflow": None}),
        "exit": ({"reason": "A"}, {"reason": "B"}),
    }  # fmt: skip


NAMED_SAMPLES: dict[str, tuple[Any, Any]] = {
    "tag": ("vip", "other"),
    "field": ("city", "county"),
    "filter": (CITY_FILTER, ROW_FILTER),
    "window": (DAY, NIGHT),
}


def samples_of(field: msgspec.inspect.Field) -> tuple[Any, Any]:
    """Two values of a field, by its name or its type."""
    if field.encode_name in NAMED_SAMPLES:
        return NAMED_SAMPLES[field.encode_name]
    kind = field.type
    if isinstance(kind, msgspec.inspect.LiteralType):
        return kind.values[0], kind.values[-1]
    if isinstance(kind, msgspec.inspect.EnumType):
        members = list(kind.cls)
        return members[0].value, members[-1].value
    simple = {
        msgspec.inspect.StrType: ("A", "B"),
        msgspec.inspect.IntType: (3, 4),
        msgspec.inspect.BoolType: (True, False),
    }
    assert type(kind) in simple, f"add a pair to send_pairs, contact_pairs or flow_pairs for {field.name}"
    return simple[type(kind)]


def derived_pair(kind: str) -> Pair:
    """The pair of a kind that has none below: from the types of its fields."""
    config = msgspec.inspect.type_info(KINDS[kind].config)
    assert isinstance(config, msgspec.inspect.StructType)
    samples = {field.encode_name: samples_of(field) for field in config.fields}
    first, then = ({name: pair[place] for name, pair in samples.items()} for place in (0, 1))
    return first, then


def step_pairs(things: NamedRows) -> dict[str, Pair]:
    return send_pairs(things) | contact_pairs(things) | flow_pairs(things)


def pair_of(kind: str, things: NamedRows) -> Pair:
    return step_pairs(things).get(kind) or derived_pair(kind)


@pytest.mark.parametrize("kind", ["exit", "add_note", "add_tag", "drip", "send_sms", "set_consent"])
def test_a_derived_pair_changes_every_field(kind: str) -> None:
    first, then = derived_pair(kind)
    assert set(first) == fields_of(inputs.ConfigInput, kind)
    assert differences(first, then) == set(first)


def trigger_pairs(things: NamedRows) -> dict[str, Pair]:
    (first, two), workflows, dates = things.segments, things.workflows, things.dates
    own: dict[str, Pair] = {
        "contact_updated": ({"fields": ["city"]}, {"fields": []}),
        "field_changed": (
            {"field": "city", "before_is": "value", "before": "A", "after_is": "value", "after": "A"},
            {"field": "state", "before": "B", "before_is": "empty", "after": "B", "after_is": "any"},
        ),
        "tag_added": ({"tag": "vip"}, {"tag": "other"}),
        "tag_removed": ({"tag": "vip"}, {"tag": "other"}),
        "segment_entered": ({"segment": first}, {"segment": two}),
        "segment_left": ({"segment": first}, {"segment": two}),
        "inbound_webhook": (
            {"match": "id", "contact_path": "a", "create": False, "signed": True},
            {"match": "email", "contact_path": "b", "create": True, "signed": False},
        ),
        "email_event": ({"event": "delivered"}, {"event": "bounced"}),
        "date_reached": (
            {"field": dates[0], "offset": 2, "at": "10:00", "yearly": True, "missed": "skip"},
            {"field": dates[1], "offset": -2, "at": "11:00", "yearly": False, "missed": "once"},
        ),
        "schedule": (
            {"cron": "0 8 * * *", "segment": first, "missed": "skip"},
            {"cron": "0 7 * * *", "segment": None, "missed": "all"},
        ),
        "workflow_ended": (
            {"workflow": workflows[0], "statuses": ["failed"]},
            {"workflow": workflows[1], "statuses": []},
        ),
    }
    before, after = (
        {"filter": CITY_FILTER, "sources": ["user", "api"]},
        {"filter": ROW_FILTER, "sources": ["bulk"]},
    )
    pairs = {kind: own.get(kind, ({}, {})) for kind in TRIGGERS}
    return {kind: (pair[0] | before, pair[1] | after) for kind, pair in pairs.items()}


async def things_of(script: httpx.AsyncClient, owner: AccountMember) -> NamedRows:
    async def create(path: str, body: dict[str, Any]) -> str:
        answer = await script.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"]).rpartition("/")[2]

    segments = [await create("/segments", {"name": name, "f": ["city:is:Oslo"]}) for name in "AB"]
    workflows = [await create("/workflows", {"name": name}) for name in "AB"]
    dates = [f"custom.{await create('/fields', {'label': f'Day {name}', 'type': 'date'})}" for name in "AB"]
    return NamedRows(str(owner.user_id), segments, workflows, dates)


async def draft(world: World, at: str) -> tuple[int, Any]:
    [row] = await world.sql(
        "select rev, draft from workflow_revisions where workflow_id = $1 order by rev desc limit 1",
        at.rpartition("/")[2],
    )
    return row["rev"], json.loads(row["draft"])


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def fields_of(union: Any, kind: str) -> set[str]:
    [struct] = [config for config in get_args(union) if config.__struct_config__.tag == kind]
    return {field.encode_name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("kind", KINDS)
async def test_step_keeps_missing_fields(world: World, kind: str) -> None:
    owner = await world.person()
    async with world.script(owner) as script:
        first, then = pair_of(kind, await things_of(script, owner))
        assert set(then) >= fields_of(inputs.ConfigInput, kind) - {"more_headers"}, "a field without a test"
        at = await new_workflow(script)
        for other in ("exit", "exit"):
            rev, _ = await draft(world, at)
            assert (await script.post(f"{at}/steps", json={"kind": other, "rev": rev})).status_code == 201
        rev, _ = await draft(world, at)
        config = {"kind": kind, **first}
        response = await script.post(f"{at}/steps", json={"kind": kind, "rev": rev, "config": config})
        assert response.status_code == 201, response.text
        step = response.headers["location"]
        rev, stored = await draft(world, at)
        for body in (
            {},
            {"config": {"kind": kind}},
            *({"config": {"kind": kind, name: then[name]}} for name in then),
        ):
            before = stored["steps"][2]
            saved = await script.post(step, json={"rev": rev, **body})
            assert saved.status_code == 200, (body, saved.text)
            rev, stored = await draft(world, at)
            after = stored["steps"][2]
            sent = set(body.get("config", {})) - {"kind"}
            own = {"headers"} if sent == {"more_headers"} else sent
            assert differences(before["config"], after["config"]) == own, body
            assert differences(before, after) <= {"config", "lanes"}
        for name in ("name", "note"):
            await script.post(step, json={"rev": rev, name: "Mine"})
            rev, named = await draft(world, at)
            assert differences(stored["steps"][2], named["steps"][2]) == {name}
            await script.post(step, json={"rev": rev, name: None})
            rev, stored = await draft(world, at)
            assert not stored["steps"][2].get(name)


@pytest.mark.parametrize("kind", TRIGGERS)
async def test_trigger_keeps_missing_fields(world: World, kind: str) -> None:
    owner = await world.person()
    async with world.script(owner) as script:
        first, then = trigger_pairs(await things_of(script, owner))[kind]
        assert set(then) == fields_of(inputs.TriggerInput, kind), "a field without a test"
        at = await new_workflow(script)
        response = await script.post(
            f"{at}/triggers", json={"kind": kind, "rev": 0, "config": {"kind": kind, **first}}
        )
        assert response.status_code == 201, response.text
        rev, stored = await draft(world, at)
        for sent in ({}, *({name: value} for name, value in then.items())):
            saved = await script.post(
                response.headers["location"], json={"rev": rev, "config": {"kind": kind, **sent}}
            )
            assert saved.status_code == 200, (sent, saved.text)
            before = stored["triggers"][0]
            rev, stored = await draft(world, at)
            assert differences(before, stored["triggers"][0]) == set(sent), sent
        saved = await script.post(response.headers["location"], json={"rev": rev})
        assert saved.status_code == 200
        assert (await draft(world, at))[1]["triggers"] == stored["triggers"]


async def test_a_trigger_of_another_kind_keeps_its_filter(world: World) -> None:
    """Else contacts would enter that the filter kept out."""
    async with world.script(await world.person()) as script:
        at = await new_workflow(script)
        config = {"kind": "tag_added", "tag": "vip", "filter": CITY_FILTER, "sources": ["user"]}
        response = await script.post(f"{at}/triggers", json={"kind": "tag_added", "rev": 0, "config": config})
        before = (await draft(world, at))[1]["triggers"][0]
        other = {"rev": 1, "config": {"kind": "email_event"}}
        assert (await script.post(response.headers["location"], json=other)).status_code == 200
        after = (await draft(world, at))[1]["triggers"][0]
        assert after == {
            "kind": "email_event", "key": before["key"], "filter": before["filter"], "sources": ["system"],
            "event": "bounced",
        }  # fmt: skip


async def test_a_part_of_a_window_or_of_a_lane_keeps_the_rest(world: World) -> None:
    async with world.script(await world.person()) as script:
        at = await new_workflow(script)
        config = {"kind": "send_sms", "body": "Hi", "window": {**DAY, "start": "10:00", "end": "11:00"}}
        response = await script.post(f"{at}/steps", json={"kind": "send_sms", "rev": 0, "config": config})
        part = {"kind": "send_sms", "window": {"start": "10:30"}}
        assert (
            await script.post(response.headers["location"], json={"rev": 1, "config": part})
        ).status_code == 200
        window = (await draft(world, at))[1]["steps"][0]["config"]["window"]
        assert window == {"days": [0, 4], "start": "10:30", "end": "11:00", "zone": "contact"}
        lanes: Any = [{"name": "North", "filter": CITY_FILTER}, {"name": "South", "filter": ROW_FILTER}]
        config = {"kind": "branch", "branches": lanes}
        response = await script.post(f"{at}/steps", json={"kind": "branch", "rev": 2, "config": config})
        before = (await draft(world, at))[1]["steps"][1]["config"]["branches"]
        renamed: Any = [{"key": "b2", "name": "Sud"}, {"key": "b1"}]
        part = {"kind": "branch", "branches": renamed}
        assert (
            await script.post(response.headers["location"], json={"rev": 3, "config": part})
        ).status_code == 200
        after = (await draft(world, at))[1]["steps"][1]["config"]["branches"]
        assert after == [before[1] | {"name": "Sud"}, before[0]]
