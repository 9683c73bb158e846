"""What is wrong with triggers."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from app.engine.core.checks import Problems, check_date_field, check_filter, check_reference
from app.engine.core.name_lookup import Names
from app.engine.core.timing.cron import Cron
from app.engine.core.triggers import (
    TRIGGER_LABELS,
    ContactUpdated,
    DateReached,
    FieldChanged,
    InboundWebhook,
    Schedule,
    SegmentEntered,
    SegmentLeft,
    TagAdded,
    TagRemoved,
    Trigger,
    WorkflowEnded,
    trigger_kind,
)
from app.filters.fields import Fields, unknown_field

_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z")
# Any moment will do: a cron that never strikes never strikes from here either.
_SOME_TIME = datetime.fromisoformat("2026-01-01")


def check_trigger(trigger: Trigger, fields: Fields, names: Names) -> Problems:
    """The problems of one trigger as (input, sentence)."""
    special = _CHECKS.get(type(trigger))
    if special is not None:
        yield from special(trigger, fields, names)
    if not trigger.sources:
        label = TRIGGER_LABELS[trigger_kind(trigger)]
        yield "sources", f"“{label}” listens to no source. Choose at least one."
    yield from check_filter(trigger.filter, fields, names, "filter", "The trigger's filter")


def _tag(trigger: TagAdded | TagRemoved, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(trigger.tag, names.tags, "tag", "tag")


def _segment(trigger: SegmentEntered | SegmentLeft, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(trigger.segment, names.segments, "segment", "segment")


def _field(key: str, fields: Fields, field: str) -> Problems:
    """A field that the change of a contact may name."""
    spec = fields.get(key)
    if spec is None:
        yield field, unknown_field(key, fields)
    elif not spec.printed:
        yield field, f"{spec.label} is no field of its own. Choose another field."


def _updated(trigger: ContactUpdated, fields: Fields, _names: Names) -> Problems:
    for key in trigger.fields:
        yield from _field(key, fields, "fields")


def _changed(trigger: FieldChanged, fields: Fields, _names: Names) -> Problems:
    if not trigger.field:
        yield "field", "Choose a field."
    else:
        yield from _field(trigger.field, fields, "field")
    if trigger.before_is == "value" and not trigger.before.strip():
        yield "before", "Give the value before, or choose any."
    if trigger.after_is == "value" and not trigger.after.strip():
        yield "after", "Give the value after, or choose any."


def _hook(trigger: InboundWebhook, _fields: Fields, _names: Names) -> Problems:
    if not _PATH.match(trigger.contact_path):
        yield "contact_path", "Say where the body names the contact, such as data.email."


def _reached(trigger: DateReached, fields: Fields, _names: Names) -> Problems:
    yield from check_date_field(trigger.field, fields)


def _schedule(trigger: Schedule, _fields: Fields, names: Names) -> Problems:
    try:
        never = Cron(trigger.cron).next_local(_SOME_TIME) is None
    except ValueError as error:
        yield "cron", str(error)
    else:
        if never:
            yield "cron", "This day never comes. Choose another one."
    if trigger.segment is not None:
        yield from check_reference(trigger.segment, names.segments, "segment", "segment")


def _ended(trigger: WorkflowEnded, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(trigger.workflow, names.workflows, "workflow", "workflow")


_CHECKS: dict[type[Trigger], Callable[[Any, Fields, Names], Problems]] = {
    TagAdded: _tag,
    TagRemoved: _tag,
    SegmentEntered: _segment,
    SegmentLeft: _segment,
    ContactUpdated: _updated,
    FieldChanged: _changed,
    InboundWebhook: _hook,
    DateReached: _reached,
    Schedule: _schedule,
    WorkflowEnded: _ended,
}
