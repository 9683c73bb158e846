"""What becomes of the wait of an enrollment that moves from one version to another. `wait_after_move` is the
entry point. Pure."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import AskApproval, Drip, Goal, StepConfig, Wait, WaitFor, Window
from app.engine.core.timing.wait_times import period_end, wait_end
from app.engine.core.version import Version
from app.filters.facts import Facts

EFFECTS = ("effect", "retry", "hold", "breaker_open")


class MovedWait(msgspec.Struct, frozen=True):
    """The wait in the new version. `goes_on`: the visit continues until `until` (None: no known end).
    Otherwise the step starts again."""

    goes_on: bool
    until: datetime | None = None


STARTS_AGAIN = MovedWait(False)
Document = Version | Draft


def rerenders_effect(old: Document | None, new: Document, key: str) -> bool:
    """Whether an effect that step `key` of `old` has rendered and not tried to send is rendered again from
    `new`: the step still exists, and what it sends, or when it may, has changed."""
    sending = _sending(new, key)
    return sending is not None and (old is None or sending != _sending(old, key))


def _sending(document: Document, key: str) -> tuple[StepConfig, Window | None] | None:
    configs = (step.config for _, _, step in walk(document.steps) if step.key == key)
    config = next(configs, None)
    if config is None:
        return None
    return config, getattr(config, "window", None) or document.settings.window


def wait_after_move(
    old: StepConfig | None,
    new: StepConfig | None,
    reason: str | None,
    until: datetime | None,
    began: datetime | None,
    zone: ZoneInfo,
) -> MovedWait:
    """The wait of an enrollment at a step with `reason` since `began`, when the config of that step changes
    from `old` to `new`. An unchanged wait is kept; a changed one counts from when it began. A config is None
    if the version has no such step."""
    if new is None or reason is None:
        return STARTS_AGAIN
    if reason in EFFECTS or old == new:
        return MovedWait(True, until)
    if old is None or began is None:
        return STARTS_AGAIN
    try:
        return _changed(old, new, until, began, zone)
    except ValueError:  # an invalid rule: the step reports it when it starts again
        return STARTS_AGAIN


def _changed(
    old: StepConfig, new: StepConfig, until: datetime | None, began: datetime, zone: ZoneInfo
) -> MovedWait:
    match new:
        case Wait() if new.mode != "date_field":
            return MovedWait(True, wait_end(new, began, Facts(zone=zone)))
        case WaitFor() if isinstance(old, WaitFor) and old.mode == new.mode:
            return _timeout(old, new, until, began, zone)
        case Goal() if isinstance(old, Goal) and new.on_unmet == "wait":
            return _timeout(old, new, until, began, zone)
        case AskApproval() if isinstance(old, AskApproval) and _same_question(old, new):
            return _timeout(old, new, until, began, zone)
        case Drip():
            return MovedWait(True, until)
        case _:
            return STARTS_AGAIN


def _timeout(
    old: WaitFor | Goal | AskApproval,
    new: WaitFor | Goal | AskApproval,
    until: datetime | None,
    began: datetime,
    zone: ZoneInfo,
) -> MovedWait:
    if (old.amount, old.unit) == (new.amount, new.unit):
        return MovedWait(True, until)
    return MovedWait(True, period_end(new.amount, new.unit, began, zone))


def _same_question(old: AskApproval, new: AskApproval) -> bool:
    return replace(old, amount=new.amount, unit=new.unit) == new
