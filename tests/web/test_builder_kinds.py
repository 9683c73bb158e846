"""Every kind of step and trigger has a form, a card and a body of its own."""

from typing import Any, get_args

import pytest

from app.engine.core import triggers
from app.engine.core.steps import GROUPS, KINDS
from app.engine.core.triggers import TRIGGERS
from app.workflows.schemas import inputs
from tests.support.builder_kit import new_workflow
from tests.support.web_kit import HTML
from tests.support.world import World


def test_every_kind_is_covered() -> None:
    assert set(get_args(inputs.Kind)) == set(KINDS)
    assert {kind.key for group in GROUPS.values() for kind in group} == set(KINDS)
    assert set(get_args(inputs.TriggerKind)) == set(TRIGGERS)
    assert {kind.group for kind in triggers.KINDS} == set(triggers.GROUPS)
    sent = {config.__struct_config__.tag for config in get_args(inputs.ConfigInput)}
    assert sent == set(KINDS)
    assert {config.__struct_config__.tag for config in get_args(inputs.TriggerInput)} == set(TRIGGERS)


@pytest.mark.parametrize("group", GROUPS)
async def test_each_step_form_saves_unchanged(world: World, group: str) -> None:
    """The form of a blank step, sent back unchanged, is refused with messages or stored: never a 500."""
    owner = await world.person()
    async with world.browser(owner) as client, world.script(owner) as script:
        at = await new_workflow(script)
        for kind in (kind.key for kind in GROUPS[group]):
            rev = (await script.get(at)).json()["workflow"]["rev"]
            response = await script.post(f"{at}/steps", json={"kind": kind, "rev": rev})
            assert response.status_code == 201, response.text
            sheet = response.headers["location"]
            page = await client.get(sheet, headers=HTML)
            assert page.status_code == 200, kind
            assert f'name="config.kind" value="{kind}"' in page.text
            body = {"config.kind": kind, "rev": str(rev + 1), "account": str(owner.account_id)}
            saved = await client.post(sheet, data=body, headers=HTML)
            assert saved.status_code in (303, 422), (kind, saved.text[:500])


async def test_each_trigger_opens_its_form(world: World) -> None:
    owner = await world.person()
    async with world.browser(owner) as client, world.script(owner) as script:
        at = await new_workflow(script)
        for kind in TRIGGERS:
            rev = (await script.get(at)).json()["workflow"]["rev"]
            response = await script.post(f"{at}/triggers", json={"kind": kind, "rev": rev})
            assert response.status_code == 201, response.text
            page = await client.get(response.headers["location"], headers=HTML)
            assert (page.status_code, f'value="{kind}"' in page.text) == (200, True), kind


GOOD: list[dict[str, Any]] = [
    {
        "kind": "send_sms",
        "body": "Hi {{ contact.first_name }}",
        "window": {"days": [0, 4], "zone": "contact"},
    },
    {"kind": "notify", "to": "everyone", "title": "{{ contact.email }} is hot"},
    {"kind": "chat", "channel": "#sales", "text": "New: {{ contact.email }}", "window": None},
    {"kind": "update_field", "field": "city", "operation": "copy", "source": "state"},
    {"kind": "add_note", "text": "Came by webhook"},
    {"kind": "create_task", "title": "Call", "assignee": "nobody", "amount": 3, "unit": "hours"},
    {"kind": "set_consent", "channel": "sms", "state": "denied"},
    {"kind": "delete_contact"},
    {"kind": "wait", "mode": "recurring", "weekdays": [0, 2], "at": "09:30"},
    {"kind": "wait_for", "mode": "event", "event": "tag.added", "about": "vip", "amount": 2, "unit": "days"},
    {"kind": "split", "lanes": [{"name": "A", "weight": 1}, {"name": "B", "weight": 3}]},
    {"kind": "approval", "question": "Good?", "options": [{"name": "Yes"}, {"name": "No"}]},
    {"kind": "drip", "count": 10, "amount": 1, "unit": "hours"},
    {"kind": "remove_from_workflow"},
    {"kind": "exit", "reason": "done"},
]


async def test_json_round_trip_keeps_configs_and_lanes(world: World) -> None:
    owner = await world.person()
    async with world.script(owner) as script:
        at = await new_workflow(script)
        for config in GOOD:
            rev = (await script.get(at)).json()["workflow"]["rev"]
            response = await script.post(
                f"{at}/steps", json={"kind": config["kind"], "rev": rev, "config": config}
            )
            assert response.status_code == 201, (config, response.text)
        page = (await script.get(at)).json()
        assert [step["kind"] for step in page["steps"]] == [config["kind"] for config in GOOD]
        lanes = {step["kind"]: [lane["label"] for lane in step["lanes"]] for step in page["steps"]}
        assert lanes["wait_for"] == ["Happened", "Timed out"]
        assert lanes["split"] == ["A", "B"]
        assert lanes["approval"] == ["Yes", "No", "Timed out"]
        sms = next(step for step in page["steps"] if step["kind"] == "send_sms")
        assert sms["config"]["window"] == {
            "days": [0, 4],
            "start": "09:00",
            "end": "17:00",
            "zone": "contact",
        }
