"""What is wrong with steps that change the contact or decide where somebody goes on."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from app.engine.core.checks import Problems, check_date_field, check_filter, check_reference
from app.engine.core.events import CONTACT_UPDATED, EVENT_KINDS, KEYED
from app.engine.core.name_lookup import Names
from app.engine.core.steps import (
    MAY_BE_OVER,
    AddNote,
    AddTag,
    AddToWorkflow,
    Approval,
    AssignOwner,
    Branch,
    Chat,
    CreateTask,
    Drip,
    Goal,
    GoTo,
    Notify,
    RemoveFromWorkflow,
    RemoveTag,
    SendEmail,
    SendSms,
    Split,
    Step,
    StepConfig,
    UpdateField,
    Wait,
    WaitFor,
    Webhook,
)
from app.engine.core.timing import wait_times
from app.filters.fields import Fields, FieldSpec, FieldType, unknown_field
from app.filters.normalize import kept_value
from app.workflows.domain.lint import sends
from app.workflows.domain.lint.problems import lasts, leads, people, required, text, written


def _tag(config: AddTag | RemoveTag, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(config.tag, names.tags, "tag", "tag")


def _update(config: UpdateField, fields: Fields, names: Names) -> Problems:
    if not config.field:
        yield "field", "Choose a field."
        return
    spec = fields.get(config.field)
    if spec is None:
        yield "field", unknown_field(config.field, fields)
        return
    if not spec.writable:
        yield "field", f"{spec.label} cannot be changed by a step. Choose another field."
        return
    if config.operation == "copy":
        yield from _source(config, fields)
    elif config.operation == "add" and spec.type is not FieldType.NUMBER:
        yield "operation", f"{spec.label} is no number, so nothing can be added to it."
    elif config.operation != "clear":
        yield from _value(config, spec, fields, names)


def _source(config: UpdateField, fields: Fields) -> Problems:
    spec = fields.get(config.source)
    if not config.source:
        yield "source", "Choose the field to copy from."
    elif spec is None:
        yield "source", unknown_field(config.source, fields)
    elif not spec.printed:
        yield "source", f"{spec.label} cannot be copied. Choose another field."
    elif config.source == config.field:
        yield "source", "Choose another field than the one that is changed."


def _value(config: UpdateField, spec: FieldSpec, fields: Fields, names: Names) -> Problems:
    if not config.value.strip():
        adding = "Give the number to add."
        yield "value", adding if config.operation == "add" else "Give a value, or choose to clear the field."
    elif "{{" in config.value:
        yield from written(config, fields, names)
    else:
        try:
            value = kept_value(spec, config.value, "US")  # a phone number fits in any region
        except ValueError as error:
            yield "value", str(error)
            return
        if spec.type is FieldType.USER:
            yield from check_reference(value, names.users, "value", "member")


def _owner(config: AssignOwner, _fields: Fields, names: Names) -> Problems:
    if config.mode == "user" and not config.users:
        yield "users", "Choose who becomes the owner."
    if config.mode != "nobody":
        yield from people(config.users, names)


def _note(config: AddNote, fields: Fields, names: Names) -> Problems:
    yield from text(config.text, "text", "The note has no text.")
    yield from written(config, fields, names)


def _task(config: CreateTask, fields: Fields, names: Names) -> Problems:
    yield from text(config.title, "title", "The task has no title.")
    yield from written(config, fields, names)
    if config.assignee == "user":
        yield from check_reference(config.user, names.users, "user", "member")
    if config.has_due:
        yield from lasts(config.amount, "The task must be due later than at once.")


def _wait(step: Step, config: Wait, fields: Fields, names: Names) -> Problems:
    if config.mode == "duration":
        yield from lasts(config.amount, "The wait must be longer than nothing.")
    elif config.mode == "until":
        yield from _until(config)
    elif config.mode == "date_field":
        yield from check_date_field(config.field, fields)
    elif not config.weekdays and not config.month_day:
        yield "weekdays", "Choose the days of the week, or a day of the month."
    if config.mode in MAY_BE_OVER and config.past == "skip_to":
        yield from leads(config.skip_to, "skip_to", names, step.key)


def _until(config: Wait) -> Problems:
    if not config.until.strip():
        yield "until", "Give the date and time to wait for."
        return
    try:
        wait_times.moment(config.until, ZoneInfo("UTC"))
    except ValueError as error:
        yield "until", str(error)


def _wait_for(config: WaitFor, fields: Fields, names: Names) -> Problems:
    if config.mode == "event":
        yield from _event(config, fields, names)
        yield from check_filter(config.filter, fields, names, "filter", "The wait")
    else:
        yield from required(config.filter, fields, names, "filter", "The wait")
    yield from lasts(config.amount, "Say how long to wait at most: more than nothing.")


def _event(config: WaitFor, fields: Fields, names: Names) -> Problems:
    """What the event is about may be left open; named, it must be there."""
    if not config.event:
        yield "event", "Choose what to wait for."
    elif config.event not in EVENT_KINDS:
        yield "event", f"There is no event “{config.event[:40]}”. Choose one of the list."
    elif config.about and config.event == CONTACT_UPDATED:
        if config.about not in fields:
            yield "about", unknown_field(config.about, fields)
    elif config.about:
        known = {"tag_id": names.tags, "segment_id": names.segments, "workflow_id": names.workflows}
        kind = KEYED.get(config.event, "")
        if kind in known:
            yield from check_reference(config.about, known[kind], "about", kind.removesuffix("_id"))


def _branch(config: Branch, fields: Fields, names: Names) -> Problems:
    if not config.branches:
        yield "branches", "The branch has only its else. Add a lane with a condition."
    for position, lane in enumerate(config.branches):
        label = f"The lane “{lane.name or lane.key}”"
        yield from required(lane.filter, fields, names, f"branches.{position}.filter", label)


def _split(config: Split, _fields: Fields, _names: Names) -> Problems:
    if len(config.lanes) < 2:
        yield "lanes", "A split needs at least two lanes."
    elif not any(lane.weight > 0 for lane in config.lanes):
        yield "lanes", "Give at least one lane a weight above zero."


def _goal(config: Goal, fields: Fields, names: Names) -> Problems:
    yield from required(config.filter, fields, names, "filter", "The goal")
    if config.on_unmet == "wait":
        yield from lasts(config.amount, "The goal must say how long to wait: more than nothing.")


def _drip(config: Drip, _fields: Fields, _names: Names) -> Problems:
    yield from lasts(config.amount, "Say in which time: more than nothing.")
    if config.count <= 0:
        yield "count", "Let at least one person through."


def _approval(config: Approval, fields: Fields, names: Names) -> Problems:
    yield from text(config.question, "question", "Ask something.")
    yield from written(config, fields, names)
    if not config.options:
        yield "options", "Give at least one option to choose from."
    yield from people(config.users, names)
    yield from lasts(config.amount, "Say how long to wait for an answer: more than nothing.")


def _enter(config: AddToWorkflow, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(config.workflow, names.workflows, "workflow", "workflow")


def _remove(config: RemoveFromWorkflow, _fields: Fields, names: Names) -> Problems:
    if config.workflow is not None:
        yield from check_reference(config.workflow, names.workflows, "workflow", "workflow")


# Set consent, delete contact and exit cannot be wrong.
_CHECKS: dict[type[StepConfig], Callable[[Any, Fields, Names], Problems]] = {
    AddTag: _tag,
    RemoveTag: _tag,
    UpdateField: _update,
    AssignOwner: _owner,
    AddNote: _note,
    CreateTask: _task,
    SendEmail: sends.email,
    SendSms: sends.sms,
    Notify: sends.notify,
    Chat: sends.chat,
    Webhook: sends.webhook,
    WaitFor: _wait_for,
    Branch: _branch,
    Split: _split,
    Goal: _goal,
    Drip: _drip,
    Approval: _approval,
    AddToWorkflow: _enter,
    RemoveFromWorkflow: _remove,
}


def check_step(step: Step, fields: Fields, names: Names) -> Problems:
    """The problems of one step as (input, sentence)."""
    config = step.config
    if isinstance(config, Wait):
        yield from _wait(step, config, fields, names)
    elif isinstance(config, GoTo):
        yield from leads(config.step, "step", names, step.key)
    elif type(config) in _CHECKS:
        yield from _CHECKS[type(config)](config, fields, names)
