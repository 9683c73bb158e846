"""What was sent for a step or a trigger becomes the config that is stored."""

from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET

from app.engine.core import steps, triggers
from app.engine.core.events import KEYED
from app.filters.ast import Filter
from app.patch import Patch, resolve
from app.workflows.schemas.inputs import ConfigInput, FilterInput, TriggerInput, WindowInput
from app.workflows.schemas.inputs import steps as sent
from app.workflows.use_cases.input_reader import Reader


class _Lane(Protocol):
    """A way out as it is sent: without a key it is new."""

    @property
    def key(self) -> str: ...


def window(given: Patch[WindowInput | None], old: steps.Window | None) -> steps.Window | None:
    """The window after an edit; None for any time."""
    if given is UNSET:
        return old
    if given is None or given.limit == "no":
        return None
    special = {} if given.days is UNSET else {"days": sorted(set(given.days))}
    made: steps.Window = _made(old or steps.Window(), given, special)
    return made


async def config_of(reader: Reader, given: ConfigInput, old: steps.StepConfig | None) -> steps.StepConfig:
    """The typed config of a step; what was left out is as in `old`, the stored one, or as its kind begins."""
    config = steps.KINDS[str(given.__struct_config__.tag)].config
    base: Any = old if isinstance(old, config) else config()
    special = await _common(reader, given, base)
    match given:
        case sent.BranchInput():
            special |= _branch(reader, given, base)
        case sent.SplitInput():
            special["lanes"] = _lanes(reader, given.lanes, base.lanes, steps.SplitLane, "lanes")
        case sent.ApprovalInput():
            special["options"] = _lanes(reader, given.options, base.options, steps.ApprovalOption, "options")
        case sent.WaitForInput():
            special["about"] = await _about(reader, given, base)
        case sent.WebhookInput():
            special |= _webhook(given)
    made: steps.StepConfig = _made(base, given, special)
    return made


async def _common(reader: Reader, given: Any, base: Any) -> dict[str, Any]:
    """What every kind that has it sends in another form than it is stored: tag, filter and window."""
    special: dict[str, Any] = {}
    if hasattr(given, "tag"):
        special["tag"] = await _tag(reader, given.tag)
    if hasattr(given, "filter"):
        special["filter"] = _filter(reader, given.filter)
    if hasattr(given, "window"):
        special["window"] = window(given.window, base.window)
    return special


def _made(base: Any, given: Any, special: dict[str, Any]) -> Any:
    """`base` with what was sent: field by field, but for what is special."""
    names = [field.name for field in msgspec.structs.fields(base) if field.name != "key"]
    values = {name: special[name] if name in special else getattr(given, name) for name in names}
    return msgspec.structs.replace(
        base, **{name: value for name, value in values.items() if value is not UNSET}
    )


async def _tag(reader: Reader, text: Patch[str | None]) -> Patch[UUID | None]:
    return UNSET if text is UNSET else await reader.tag(text or "")


def _filter(reader: Reader, given: Patch[FilterInput | None], path: str = "filter") -> Patch[Filter | None]:
    return UNSET if given is UNSET else reader.filter(given, path)


def _webhook(given: sent.WebhookInput) -> dict[str, Any]:
    special: dict[str, Any] = {} if given.url is UNSET else {"url": given.url.strip()}
    special["headers"] = UNSET
    if given.headers is not UNSET or given.more_headers is not UNSET:
        rows = {row.name.strip(): row.value for row in given.more_headers or [] if row.name.strip()}
        special["headers"] = (given.headers or {}) | rows
    return special


async def _about(reader: Reader, given: sent.WaitForInput, base: steps.WaitFor) -> Patch[str]:
    if given.about is UNSET:
        return UNSET
    if KEYED.get(resolve(given.event, base.event)) != "tag_id" or not given.about:
        return given.about.strip()
    return str(await reader.tag(given.about) or "")


def _branch(reader: Reader, given: sent.BranchInput, base: steps.Branch) -> dict[str, Any]:
    special: dict[str, Any] = {"branches": UNSET}
    if given.branches is not UNSET:
        keys = lane_keys(reader, given.branches, [lane.key for lane in base.branches], "branches")
        old = {lane.key: lane for lane in base.branches}
        special["branches"] = [
            _made(old.get(key) or steps.BranchLane(key), lane, {
                "name": _stripped(lane.name),
                "filter": _filter(reader, lane.filter, f"branches.{index}.filter"),
            })
            for index, (key, lane) in enumerate(zip(keys, given.branches, strict=True))
        ]  # fmt: skip
    if given.else_name is not UNSET:
        special["else_name"] = given.else_name.strip() or "Else"
    return special


def _lanes(reader: Reader, given: Any, stored: Sequence[Any], kind: Any, path: str) -> Any:
    """The lanes of a split or an approval; a lane with the key of a stored one keeps what was left out."""
    if given is UNSET:
        return UNSET
    keys, old = (
        lane_keys(reader, given, [lane.key for lane in stored], path),
        {one.key: one for one in stored},
    )
    return [
        _made(old.get(key) or kind(key), lane, {"name": _stripped(lane.name)})
        for key, lane in zip(keys, given, strict=True)
    ]


def _stripped(text: Patch[str]) -> Patch[str]:
    return UNSET if text is UNSET else text.strip()


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


async def trigger_of(reader: Reader, given: TriggerInput, old: triggers.Trigger | None) -> triggers.Trigger:
    """The typed trigger; what was left out is as in `old`, the stored one. Of another kind it begins anew,
    but for the filter: a contact does not enter because the filter was not sent again."""
    kind = triggers.TRIGGERS[str(given.__struct_config__.tag)]
    base: Any = kind() if old is None else kind(key=old.key, filter=old.filter)
    special: dict[str, Any] = {"filter": _filter(reader, given.filter)}
    if given.sources is not UNSET:
        special["sources"] = list(dict.fromkeys(given.sources))
    if "tag" in kind.__struct_fields__:
        special["tag"] = await _tag(reader, getattr(given, "tag", UNSET))
    made: triggers.Trigger = _made(old if isinstance(old, kind) else base, given, special)
    return made
