"""What was sent for a step or a trigger becomes the config that is stored."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from app.workflows.domain import steps, triggers
from app.workflows.domain.events import KEYED
from app.workflows.schemas.inputs import ConfigInput, TriggerInput, WindowInput
from app.workflows.schemas.inputs import steps as sent
from app.workflows.use_cases.typed import Reader


class _Lane(Protocol):
    """A way out as it is sent: without a key it is new."""

    @property
    def key(self) -> str: ...


def window(given: WindowInput | None) -> steps.Window | None:
    """The window that a form or a script means; None for any time."""
    if given is None or given.limit == "no":
        return None
    return steps.Window(days=sorted(set(given.days)), start=given.start, end=given.end, zone=given.zone)


async def config_of(reader: Reader, given: ConfigInput, old: steps.StepConfig | None) -> steps.StepConfig:
    """The typed config of a step; `old` is the stored one, whose lane keys are kept."""
    kind = str(given.__struct_config__.tag)
    special: dict[str, Any] = {}
    match given:
        case sent.AddTagInput() | sent.RemoveTagInput():
            special = {"tag": await reader.tag(given.tag)}
        case sent.BranchInput():
            special = _branch(reader, given, _used(old))
        case sent.SplitInput():
            keys = lane_keys(reader, given.lanes, _used(old), "lanes")
            special = {"lanes": [
                steps.SplitLane(key, lane.name.strip(), lane.weight)
                for key, lane in zip(keys, given.lanes, strict=True)
            ]}  # fmt: skip
        case sent.ApprovalInput():
            keys = lane_keys(reader, given.options, _used(old), "options")
            special = {"options": [
                steps.ApprovalOption(key, option.name.strip())
                for key, option in zip(keys, given.options, strict=True)
            ]}  # fmt: skip
        case sent.GoalInput():
            special = {"filter": reader.filter(given.filter, "filter")}
        case sent.WaitForInput():
            special = {"filter": reader.filter(given.filter, "filter"), "about": await _about(reader, given)}
        case sent.WebhookInput():
            rows = {row.name.strip(): row.value for row in given.more_headers if row.name.strip()}
            special = {"url": given.url.strip(), "headers": given.headers | rows}
    if isinstance(given, sent.SendEmailInput | sent.SendSmsInput | sent.ChatInput | sent.WebhookInput):
        special["window"] = window(given.window)
    made: steps.StepConfig = _made(steps.KINDS[kind], given, special)
    return made


def _made(kind: Any, given: Any, special: dict[str, Any]) -> Any:
    """A stored struct from a sent one of the same kind: field by field, but for what is special."""
    names = [field.name for field in msgspec.structs.fields(kind) if field.name != "key"]
    return kind(**{name: special[name] if name in special else getattr(given, name) for name in names})


async def _about(reader: Reader, given: sent.WaitForInput) -> str:
    if KEYED.get(given.event) != "tag_id" or not given.about:
        return given.about.strip()
    return str(await reader.tag(given.about) or "")


def _used(old: steps.StepConfig | None) -> list[str]:
    return steps.lane_keys(old) if old is not None else []


def _branch(reader: Reader, given: sent.BranchInput, old: list[str]) -> dict[str, Any]:
    keys = lane_keys(reader, given.branches, old, "branches")
    lanes = [
        steps.BranchLane(
            key, lane.name.strip(), reader.filter(lane.filter, f"branches.{index}.filter")
        )
        for index, (key, lane) in enumerate(zip(keys, given.branches, strict=True))
    ]  # fmt: skip
    return {"branches": lanes, "else_name": given.else_name.strip() or "Else"}


def lane_keys(reader: Reader, lanes: Sequence[_Lane], old: list[str], path: str) -> list[str]:
    """A key for each lane: its own, or for a new one the next number that no lane has or had."""
    own = [lane.key for lane in lanes if lane.key]
    if len(set(own)) != len(own) or {steps.ELSE, steps.TIMEOUT} & set(own):
        reader.problems[path] = "Give each lane a key of its own, and none the key “else” or “timeout”."
    numbers = [int(key[1:]) for key in [*old, *own] if key[:1] == "b" and key[1:].isdigit()]
    number, keys = max(numbers, default=0), []
    for lane in lanes:
        if not lane.key:
            number += 1
        keys.append(lane.key or f"b{number}")
    return keys


async def trigger_of(reader: Reader, given: TriggerInput) -> triggers.Trigger:
    """The typed trigger, without its key."""
    special: dict[str, Any] = {
        "filter": reader.filter(given.filter, "filter"),
        "sources": list(dict.fromkeys(given.sources)),
    }
    if hasattr(given, "tag"):
        special["tag"] = await reader.tag(given.tag)
    made: triggers.Trigger = _made(triggers.TRIGGERS[str(given.__struct_config__.tag)], given, special)
    return made
