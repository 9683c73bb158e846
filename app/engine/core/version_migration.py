"""People who stand somewhere in one version and are taken to another: what becomes of their wait. Pure."""

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from app.engine.core.draft import Draft, walk
from app.engine.core.steps import AskApproval, Drip, Goal, StepConfig, Wait, WaitFor, Window
from app.engine.core.timing.wait_times import after, wait_end
from app.engine.core.version import Version
from app.filters.facts import Facts

EFFECTS = ("effect", "retry", "hold", "breaker_open")


class Stand(msgspec.Struct, frozen=True):
    """`goes_on`: the visit continues until `until` (None: no known end). Otherwise the step starts again."""

    goes_on: bool
    until: datetime | None = None


ANEW = Stand(False)
Document = Version | Draft


def sends_anew(old: Document | None, new: Document, key: str) -> bool:
    """Whether what step `key` of `old` has rendered and not tried to send is rendered again from `new`: the
    step is still there, and what it sends, or when it may, has changed."""
    after = _sending(new, key)
    return after is not None and (old is None or after != _sending(old, key))


def _sending(document: Document, key: str) -> tuple[StepConfig, Window | None] | None:
    configs = (step.config for _, _, step in walk(document.steps) if step.key == key)
    config = next(configs, None)
    if config is None:
        return None
    return config, getattr(config, "window", None) or document.settings.window


def stand(
    old: StepConfig | None,
    new: StepConfig | None,
    reason: str | None,
    until: datetime | None,
    began: datetime | None,
    zone: ZoneInfo,
) -> Stand:
    """Somebody who waits at a step with `reason` since `began`, when the config of that same step changes
    from `old` to `new`. A wait that did not change is kept; one that did is counted from when it began. None
    for a step that there is not."""
    if new is None or reason is None:
        return ANEW
    if reason in EFFECTS or old == new:
        return Stand(True, until)
    if old is None or began is None:
        return ANEW
    try:
        return _changed(old, new, until, began, zone)
    except ValueError:  # a rule that cannot be: the step says so when it begins anew
        return ANEW


def _changed(
    old: StepConfig, new: StepConfig, until: datetime | None, began: datetime, zone: ZoneInfo
) -> Stand:
    match new:
        case Wait() if new.mode != "date_field":
            return Stand(True, wait_end(new, began, Facts(zone=zone)))
        case WaitFor() if isinstance(old, WaitFor) and old.mode == new.mode:
            return _timeout(old, new, until, began, zone)
        case Goal() if isinstance(old, Goal) and new.on_unmet == "wait":
            return _timeout(old, new, until, began, zone)
        case AskApproval() if isinstance(old, AskApproval) and _same_question(old, new):
            return _timeout(old, new, until, began, zone)
        case Drip():
            return Stand(True, until)
        case _:
            return ANEW


def _timeout(
    old: WaitFor | Goal | AskApproval,
    new: WaitFor | Goal | AskApproval,
    until: datetime | None,
    began: datetime,
    zone: ZoneInfo,
) -> Stand:
    if (old.amount, old.unit) == (new.amount, new.unit):
        return Stand(True, until)
    return Stand(True, after(new.amount, new.unit, began, zone))


def _same_question(old: AskApproval, new: AskApproval) -> bool:
    return replace(old, amount=new.amount, unit=new.unit) == new
