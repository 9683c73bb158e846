"""Triggers in words, for the canvas."""

from app.engine.core import triggers as kinds
from app.engine.core.draft import Audience, Draft
from app.engine.core.events import Source
from app.engine.core.triggers import TRIGGER_LABELS, Trigger, trigger_kind
from app.workflows.schemas.publication import EntranceView
from app.workflows.use_cases.input_reader import Known
from app.workflows.use_cases.step_labels import MADE_BY, called, sentence

MISSED = {"skip": "missed ones are skipped", "once": "missed ones run once", "all": "missed ones run each"}


def trigger_words(trigger: Trigger, given: Known) -> tuple[str, str]:
    """Title and summary of a trigger."""
    title = TRIGGER_LABELS[trigger_kind(trigger)]
    if about := _about(trigger, given):
        title += f": {about}"
    parts = ["Trigger", sentence(trigger.filter, given)]
    if isinstance(trigger, kinds.DateReached | kinds.Schedule):
        dates = isinstance(trigger, kinds.DateReached)
        parts.append(MISSED["all" if dates and trigger.missed == "once" else trigger.missed])
    elif trigger.sources:
        parts.append("by " + ", ".join(MADE_BY[source] for source in trigger.sources))
    return title, " · ".join(part for part in parts if part)


# By whether imports and whether bulk edits are listened to.
STORMS = {
    (True, True): "Imports and bulk edits start it, as single changes do.",
    (True, False): "Imports start it, bulk edits do not.",
    (False, True): "Bulk edits start it, imports do not.",
    (False, False): "Imports and bulk edits do not start it.",
}
CLOCK = "The clock starts it; imports and bulk edits do not."
BY_HAND = "Only those who are put into it enter, one by one or many at once; no import starts it by itself."
CLOSED = "It starts nobody, imports and bulk edits neither: only those who match now enter."


def entrances_of(draft: Draft, given: Known) -> list[EntranceView]:
    """Every trigger with what it listens to, for whoever publishes."""
    closed = draft.settings.audience is Audience.CURRENT_ONLY
    return [_entrance(trigger, given, closed) for trigger in draft.triggers]


def _entrance(trigger: Trigger, given: Known, closed: bool) -> EntranceView:
    title, _ = trigger_words(trigger, given)
    condition = sentence(trigger.filter, given)
    sources = [MADE_BY[source] for source in trigger.sources]
    heard = Source.IMPORT in trigger.sources, Source.BULK in trigger.sources
    said = STORMS[heard]
    if isinstance(trigger, kinds.Manual):
        heard, said = (False, heard[1]), BY_HAND
        sources = [one for one in sources if one != MADE_BY[Source.IMPORT]]
    elif closed:
        heard, said = (False, False), CLOSED
    elif isinstance(trigger, kinds.DateReached | kinds.Schedule):
        sources, heard, said = [], (False, False), CLOCK
    return EntranceView(trigger.key, title, condition, sources, *heard, said)


def _about(trigger: Trigger, given: Known) -> str:
    match trigger:
        case kinds.TagAdded() | kinds.TagRemoved():
            return called(trigger.tag, given.tags)
        case kinds.ContactUpdated():
            return ", ".join(_field(key, given) for key in trigger.fields)
        case kinds.FieldChanged():
            return _change(trigger, given)
        case kinds.SegmentEntered() | kinds.SegmentLeft():
            return called(trigger.segment, given.names.segments)
        case kinds.DateReached():
            return _date(trigger, given)
        case kinds.Schedule():
            over = called(trigger.segment, given.names.segments) if trigger.segment else "all contacts"
            return f"{trigger.cron} · {over}"
        case kinds.EmailEvent():
            return trigger.event
        case kinds.WorkflowEnded():
            return called(trigger.workflow, given.names.workflows)
    return ""


def _field(key: str, given: Known) -> str:
    return given.fields[key].label if key in given.fields else key or "…"


def _change(trigger: kinds.FieldChanged, given: Known) -> str:
    ends = {"any": "", "empty": "empty"}
    before = ends.get(trigger.before_is, trigger.before)
    after = ends.get(trigger.after_is, trigger.after)
    said = _field(trigger.field, given)
    return said + (f" from {before}" if before else "") + (f" to {after}" if after else "")


def _date(trigger: kinds.DateReached, given: Known) -> str:
    days = abs(trigger.offset)
    unit = "day" if days == 1 else "days"
    where = "" if not days else f"{days} {unit} {'after' if trigger.offset > 0 else 'before'} "
    every = ", every year" if trigger.yearly else ""
    return f"{where}{_field(trigger.field, given)} at {trigger.at or '00:00'}{every}"
