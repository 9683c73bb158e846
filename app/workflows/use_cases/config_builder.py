"""Builds the stored config of a step or a trigger from a request."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar
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

# The fields of a config that requests send in another form than they are stored, as they are stored.
StoredItem: TypeAlias = int | str | steps.BranchLane | steps.SplitLane | steps.ApprovalOption
Stored: TypeAlias = UUID | Filter | steps.Window | Mapping[str, str] | Sequence[StoredItem] | None
Special: TypeAlias = dict[str, Patch[Stored]]
StructT = TypeVar("StructT", bound=msgspec.Struct)
LaneT = TypeVar("LaneT", steps.SplitLane, steps.ApprovalOption)


def window(body: Patch[WindowInput | None], old: steps.Window | None) -> steps.Window | None:
    """The window after an edit; None for any time."""
    if body is UNSET:
        return old
    if body is None or body.limit == "no":
        return None
    special: Special = {} if body.days is UNSET else {"days": sorted(set(body.days))}
    return _merge(old or steps.Window(), body, special)


async def config_of(reader: Reader, body: ConfigInput, old: steps.StepConfig | None) -> steps.StepConfig:
    """The typed config of a step; missing fields keep their value in `old`, the stored config, or take the
    kind's default."""
    kind = steps.KINDS[str(body.__struct_config__.tag)]
    base = old if old is not None and isinstance(old, kind.config) else kind.config()
    special = await _common(reader, body, base)
    match body, base:
        case sent.BranchInput() as branch, steps.Branch() as stored:
            special |= _branch(reader, branch, stored)
        case sent.SplitInput() as split, steps.Split() as stored:
            special["lanes"] = _lanes(reader, split.lanes, stored.lanes, steps.SplitLane, "lanes")
        case sent.ApprovalInput() as approval, steps.AskApproval() as stored:
            options = _lanes(reader, approval.options, stored.options, steps.ApprovalOption, "options")
            special["options"] = options
        case sent.WaitForInput() as wait, steps.WaitFor() as stored:
            special["about"] = await _about(reader, wait, stored)
        case sent.WebhookInput() as webhook, _:
            special |= _webhook(webhook)
    return _merge(base, body, special)


async def _common(reader: Reader, body: ConfigInput, base: steps.StepConfig) -> Special:
    """The fields that requests send in another form than they are stored, for every kind that has them: tag,
    filter and window. Most inputs are made at run time, so their fields are read by name."""
    special: Special = {}
    if hasattr(body, "tag"):
        special["tag"] = await _tag(reader, body.tag)
    if hasattr(body, "filter"):
        special["filter"] = _filter(reader, body.filter)
    if hasattr(body, "window"):
        special["window"] = window(body.window, getattr(base, "window", None))
    return special


def _merge(base: StructT, body: msgspec.Struct, special: Special) -> StructT:
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


def _webhook(body: sent.WebhookInput) -> Special:
    special: Special = {} if body.url is UNSET else {"url": body.url.strip()}
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


def _branch(reader: Reader, body: sent.BranchInput, base: steps.Branch) -> Special:
    special: Special = {"branches": UNSET}
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


def _lanes(
    reader: Reader,
    body: Patch[Sequence[sent.NamedLaneInput]],
    stored: Sequence[LaneT],
    kind: type[LaneT],
    path: str,
) -> Patch[list[LaneT]]:
    """The lanes of a split or an approval; a lane with the key of a stored one keeps its values for missing
    fields."""
    if body is UNSET:
        return UNSET
    keys = lane_keys(reader, body, [lane.key for lane in stored], path)
    old = {lane.key: lane for lane in stored}
    return [
        _merge(old.get(key) or kind(key), lane, {"name": _stripped(lane.name)})
        for key, lane in zip(keys, body, strict=True)
    ]


def _stripped(text: Patch[str]) -> Patch[str]:
    return UNSET if text is UNSET else text.strip()


def lane_keys(reader: Reader, lanes: Sequence[sent.NamedLaneInput], old: list[str], path: str) -> list[str]:
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
    base = kind() if old is None else kind(key=old.key, filter=old.filter)
    special: Special = {"filter": _filter(reader, body.filter)}
    if body.sources is not UNSET:
        special["sources"] = list(dict.fromkeys(body.sources))
    if "tag" in kind.__struct_fields__:
        special["tag"] = await _tag(reader, getattr(body, "tag", UNSET))
    return _merge(old if isinstance(old, kind) else base, body, special)
