"""Wait until a time. It is computed when the enrollment arrives; that of a date again while the enrollment
waits, because the date may change (`wait_times.wait_end_changed`)."""

from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from app.engine.core.checks import Problems, check_date_field, check_period
from app.engine.core.name_lookup import Names, field_label
from app.engine.core.scalars import Amount, Line, StepKey, TimeOfDay, Unit, Weekday
from app.engine.core.steps.base import Config, Jump, References, Sentence, StepKind, fail, period
from app.engine.core.timing.wait_times import FOLLOWS_A_DATE, until_instant, wait_end
from app.engine.core.types import STOPPED, ExitReason, Outcome, Status, WaitReason
from app.filters.fields import Fields
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node

Past = Literal["continue", "skip_to", "exit"]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Wait(Config, frozen=True, tag="wait"):
    """`duration`: `amount` `unit`s. `until`: an ISO date and time, local to the account unless it carries an
    offset. `date_field`: the day in the date field `field`, `offset` days later (earlier when negative), at
    the local time `at` (or the first instant of the day). `recurring`: the next of `weekdays` or the next
    `month_day` (0 is none; the last day where a month is shorter), whichever comes first, at `at`.
    `past` says what happens when that moment is already over (or the date field is empty)."""

    mode: Literal["duration", "until", "date_field", "recurring"] = "duration"
    amount: Amount = 1
    unit: Unit = Unit.DAYS
    until: Line = ""
    field: Line = ""
    offset: Annotated[int, Meta(ge=-3660, le=3660)] = 0
    at: TimeOfDay = ""
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = []
    month_day: Annotated[int, Meta(ge=0, le=31)] = 0
    past: Past = "continue"
    skip_to: StepKey = ""


def execute(run: "Run", node: "Node") -> int:
    config: Wait = node.config
    try:
        until = wait_end(config, run.now, run.facts)
    except ValueError as error:
        return fail(run, node, str(error))
    if until is not None and until > run.now:
        run.begin(node, {"until": until.isoformat()})
        return run.wait_at(node, WaitReason.TIMER, until)
    detail: JsonObject = {"past": True}
    if until is None:
        detail["reason"] = "The field has no date."
    else:
        detail["until"] = until.isoformat()
    if config.past == "continue":
        run.record(node, Outcome.PASSED, detail)
        return node.after
    if config.past == "skip_to":
        run.record(node, Outcome.PASSED, detail | {"to": config.skip_to})
        run.check_goals = True
        return node.target
    run.record(node, Outcome.EXITED, detail)
    run.finish(node.key, Status.EXITED, ExitReason.PAST_WINDOW)
    return STOPPED


def describe(config: Wait, fields: Fields, _names: Names) -> Sentence:
    return Sentence(_title(config, fields), "Wait")


def _title(config: Wait, fields: Fields) -> str:
    at = f" at {config.at}" if config.at else ""
    match config.mode:
        case "until":
            return f"Wait until {config.until.replace('T', ' ') or '…'}"
        case "date_field":
            return f"Wait until {_days_around(config.offset)}{field_label(config.field, fields)}{at}"
        case "recurring":
            weekdays = ", ".join(DAYS[day] for day in sorted(config.weekdays))
            month_day = f"day {config.month_day} of the month" if config.month_day else ""
            return f"Wait until {' or '.join(filter(None, (weekdays, month_day))) or '…'}{at}"
    return f"Wait {period(config.amount, config.unit)}"


def _days_around(offset: int) -> str:
    if not offset:
        return ""
    return f"{period(abs(offset), Unit.DAYS)} {'after' if offset > 0 else 'before'} "


def validate(config: Wait, fields: Fields, _names: Names) -> Problems:
    if config.mode == "duration":
        yield from check_period(config.amount, "Enter a wait longer than zero.")
    elif config.mode == "until":
        yield from _check_until(config)
    elif config.mode == "date_field":
        yield from check_date_field(config.field, fields)
    elif not config.weekdays and not config.month_day:
        yield "weekdays", "Choose days of the week or a day of the month."


def _check_until(config: Wait) -> Problems:
    if not config.until.strip():
        yield "until", "Enter the date and time to wait for."
        return
    try:
        until_instant(config.until, ZoneInfo("UTC"))
    except ValueError as error:
        yield "until", str(error)


def jump(config: Wait) -> Jump | None:
    jumps = config.mode in FOLLOWS_A_DATE and config.past == "skip_to"
    return Jump("skip_to", config.skip_to) if jumps else None


def references(config: Wait) -> References:
    if config.mode == "date_field":
        yield "field", config.field


KIND = StepKind(
    Wait,
    label="Wait",
    group="Flow",
    icon="clock",
    tone="warn",
    hint="For a period, or until a time, date or weekday",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    jump=jump,
    interrupts=True,
    only_routes=True,
)
