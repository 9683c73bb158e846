"""Builds the stored config of a step or a trigger from a request."""

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
    """A lane as a request sends it: without a key it is new."""

    @property
    def key(self) -> str: ...


def window(body: Patch[WindowInput | None], old: steps.Window | None) -> steps.Window | None:
    """The window after an edit; None for any time."""
    if body is UNSET:
        return old
    if body is None or body.limit == "no":
        return None
    special = {} if body.days is UNSET else {"days": sorted(set(body.days))}
    merged: steps.Window = _merge(old or steps.Window(), body, special)
    return merged


async def config_of(reader: Reader, body: ConfigInput, old: steps.StepConfig | None) -> steps.StepConfig:
    """The typed config of a step; missing fields keep their value in `old`, the stored config, or take the
    kind's default."""
    config = steps.KINDS[str(body.__struct_config__.tag)].config
    base: Any = old if isinstance(old, config) else config()
    special = await _common(reader, body, base)
    match body:
        case sent.BranchInput():
            special |= _branch(reader, body, base)
        case sent.SplitInput():
            special["lanes"] = _lanes(reader, body.lanes, base.lanes, steps.SplitLane, "lanes")
        case sent.ApprovalInput():
            special["options"] = _lanes(reader, body.options, base.options, steps.ApprovalOption, "options")
        case sent.WaitForInput():
            special["about"] = await _about(reader, body, base)
        case sent.WebhookInput():
            special |= _webhook(body)
    merged: steps.StepConfig = _merge(base, body, special)
    return merged


async def _common(reader: Reader, body: Any, base: Any) -> dict[str, Any]:
    """The fields that requests send in another form than they are stored, for every kind that has them: tag,
    filter and window."""
    special: dict[str, Any] = {}
    if hasattr(body, "tag"):
        special["tag"] = await _tag(reader, body.tag)
    if hasattr(body, "filter"):
        special["filter"] = _filter(reader, body.filter)
    if hasattr(body, "window"):
        special["window"] = window(body.window, base.window)
    return special


def _merge(base: Any, body: Any, special: dict[str, Any]) -> Any:
    """`base` with the sent fields, except for those with a special form."""
    names = [field.name for field in msgspec.structs.fields(base) if field.name != "key"]
    values = {name: special[name] if name in special else getattr(body, name) for name in names}
    return msgspec.structs.replace(
        base, **{name: value for name, value in values.items() if value is not UNSET}
    )


async def _tag(reader: Reader, text: Patch[str | None]) -> Patch[UUID | None]:
    return UNSET if text is UNSET else await reader.tag(text or "")


def _filter(reader: Reader, body: Patch[FilterInput | None], path: str = "filter") -> Patch[Filter | None]:
    return UNSET if body is UNSET else reader.filter(body, path)


def _webhook(body: sent.WebhookInput) -> dict[str, Any]:
    special: dict[str, Any] = {} if body.url is UNSET else {"url": body.url.strip()}
    special["headers"] = UNSET
    if body.headers is not UNSET or body.more_headers is not UNSET:
        rows = {row.name.strip(): row.value for row in body.more_headers or [] if row.name.strip()}
        special["headers"] = (body.headers or {}) | rows
    return special


async def _about(reader: Reader, body: sent.WaitForInput, base: steps.WaitFor) -> Patch[str]:
    if body.about is UNSET:
        return UNSET
    if KEYED.get(resolve(body.event, base.event)) != "tag_id" or not body.about:
        return body.about.strip()
    return str(await reader.tag(body.about) or "")


def _branch(reader: Reader, body: sent.BranchInput, base: steps.Branch) -> dict[str, Any]:
    special: dict[str, Any] = {"branches": UNSET}
    if body.branches is not UNSET:
        keys = lane_keys(reader, body.branches, [lane.key for lane in base.branches], "branches")
        old = {lane.key: lane for lane in base.branches}
        special["branches"] = [
            _merge(old.get(key) or steps.BranchLane(key), lane, {
                "name": _stripped(lane.name),
                "filter": _filter(reader, lane.filter, f"branches.{index}.filter"),
            })
            for index, (key, lane) in enumerate(zip(keys, body.branches, strict=True))
        ]  # fmt: skip
    if body.else_name is not UNSET:
        special["else_name"] = body.else_name.strip() or "Else"
    return special


def _lanes(reader: Reader, body: Any, stored: Sequence[Any], kind: Any, path: str) -> Any:
    """The lanes of a split or an approval; a lane with the key of a stored one keeps its values for missing
    fields."""
    if body is UNSET:
        return UNSET
    keys, old = (
        lane_keys(reader, body, [lane.key for lane in stored], path),
        {lane.key: lane for lane in stored},
    )
    return [
        _merge(old.get(key) or kind(key), lane, {"name": _stripped(lane.name)})
        for key, lane in zip(keys, body, strict=True)
    ]


def _stripped(text: Patch[str]) -> Patch[str]:
    return UNSET if text is UNSET else text.strip()


def lane_keys(reader: Reader, lanes: Sequence[_Lane], old: list[str], path: str) -> list[str]:
    """A key for each lane: its own, or for a new one the next number that no lane has or had."""
    own = [lane.key for lane in lanes if lane.key]
    if len(set(own)) != len(own) or {steps.ELSE, steps.TIMEOUT} & set(own):
        reader.problems[path] = "Give each lane its own key. The keys “else” and “timeout” are reserved."
    numbers = [int(key[1:]) for key in [*old, *own] if key[:1] == "b" and key[1:].isdigit()]
    number, keys = max(numbers, default=0), []
    for lane in lanes:
        if not lane.key:
            number += 1
        keys.append(lane.key or f"b{number}")
    return keys


async def trigger_of(reader: Reader, body: TriggerInput, old: triggers.Trigger | None) -> triggers.Trigger:
    """The typed trigger; missing fields keep their value in `old`, the stored one. With another kind all
    fields except the filter start from their defaults: a contact must not enter because the filter was not
    sent again."""
    kind = triggers.TRIGGERS[str(body.__struct_config__.tag)]
    base: Any = kind() if old is None else kind(key=old.key, filter=old.filter)
    special: dict[str, Any] = {"filter": _filter(reader, body.filter)}
    if body.sources is not UNSET:
        special["sources"] = list(dict.fromkeys(body.sources))
    if "tag" in kind.__struct_fields__:
        special["tag"] = await _tag(reader, getattr(body, "tag", UNSET))
    trigger: triggers.Trigger = _merge(old if isinstance(old, kind) else base, body, special)
    return trigger
