"""Events: kinds, sources and equality keys, as triggers, waits and goals match them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from uuid import UUID

import msgspec

from app.filters import event_kinds
from app.json_types import Json, JsonObject

# Labels by kind; also the kinds that an event wait may name.
EVENT_KINDS = event_kinds.EVENT_KINDS


class Source(StrEnum):
    USER = "user"
    API = "api"
    BULK = "bulk"
    IMPORT = "import"
    WORKFLOW = "workflow"
    SYSTEM = "system"


SOURCE_LABELS = {
    Source.USER: "members",
    Source.API: "API calls",
    Source.BULK: "bulk edits",
    Source.IMPORT: "imports",
    Source.WORKFLOW: "workflows",
    Source.SYSTEM: "Switchyard itself",
}

# The default sources of a trigger. Workflows that start workflows must be chosen explicitly.
LISTENED = [Source.USER, Source.API, Source.BULK, Source.IMPORT]

CONTACT_CREATED = "contact.created"
CONTACT_UPDATED = "contact.updated"
CONTACT_DELETED = "contact.deleted"
TAG_ADDED = "tag.added"
TAG_REMOVED = "tag.removed"
NOTE_ADDED = "note.added"
TASK_ADDED = "task.added"
TASK_COMPLETED = "task.completed"
TASK_OVERDUE = "task.overdue"
SEGMENT_ENTERED = "segment.entered"
SEGMENT_LEFT = "segment.left"
WEBHOOK_RECEIVED = "webhook.received"
EMAIL_DELIVERED = "email.delivered"
EMAIL_BOUNCED = "email.bounced"
DATE_REACHED = "date.reached"
SCHEDULE_FIRED = "schedule.fired"
ENROLLMENT_ENDED = "enrollment.ended"
MANUAL = "enrollment.requested"
# A step removes the contact from a workflow (`workflow_id`), or from all except `not`.
LEAVE_REQUESTED = "enrollment.leave_requested"

# Which entry of an event's `data` is its equality key; contact.updated has one for each changed field.
KEYED: dict[str, str] = {
    TAG_ADDED: "tag_id",
    TAG_REMOVED: "tag_id",
    SEGMENT_ENTERED: "segment_id",
    SEGMENT_LEFT: "segment_id",
    WEBHOOK_RECEIVED: "trigger",
    DATE_REACHED: "trigger",
    SCHEDULE_FIRED: "trigger",
    ENROLLMENT_ENDED: "workflow_id",
    MANUAL: "workflow_id",
}


class EngineEvent(msgspec.Struct, frozen=True):
    """An event as the trigger index reads it. `data` by kind (ids as text): `changes` {field key: [old, new]}
    for contact.updated; `tag_id`; `segment_id`; `task_id`, `note_id`; `trigger` ("<workflow id>:<trigger
    key>", with `body` for webhook.received, `day` for date.reached, `at` for schedule.fired);
    `workflow_id` (with `status` and `reason` for enrollment.ended)."""

    id: UUID
    kind: str
    source: Source
    subject_id: UUID
    data: Mapping[str, Json] = {}
    depth: int = 0


def changes_of(event: EngineEvent) -> dict[str, tuple[Json, Json]]:
    """The old and the new value of each field that a contact.updated event changed."""
    changes = event.data.get("changes")
    if not isinstance(changes, dict):
        return {}
    return {
        field: (pair[0], pair[1])
        for field, pair in changes.items()
        if isinstance(pair, list) and len(pair) > 1
    }


def index_keys_of(event: EngineEvent) -> Iterator[tuple[str, str]]:
    """The (event kind, equality key) pairs under which the index keeps the triggers that this event may
    match."""
    yield event.kind, ""
    if event.kind == CONTACT_UPDATED:
        for field, (_, new) in changes_of(event).items():
            yield event.kind, field
            yield from ((event.kind, f"{field}={text}") for text in comparable_texts(new))
    elif event.kind in KEYED:
        key = str(event.data.get(KEYED[event.kind]))
        yield event.kind, key
        if event.kind == ENROLLMENT_ENDED:
            yield event.kind, f"{key}:{event.data.get('status')}"


def comparable_text(value: object) -> str:
    """A field's value as text, for comparison with typed text: case-folded, "" when empty."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip().casefold()


def comparable_texts(value: object) -> list[str]:
    """The texts that a field's value equals: each chosen option of a multi-select, else one."""
    if isinstance(value, list) and value:
        return [comparable_text(option) for option in value]
    return [comparable_text(value or None) if isinstance(value, list) else comparable_text(value)]


def equality_key(field: str, value: object) -> str:
    """The equality key of a change to this value."""
    return f"{field}={comparable_text(value)}"


def stored_event_data(event: EngineEvent) -> JsonObject:
    """The event data that an enrollment stores for `{{ event.… }}`: a webhook's body, and the data of
    schedules, tasks, notes and ended workflows."""
    data = dict(event.data)
    if event.kind == WEBHOOK_RECEIVED:
        body = data.get("body")
        return body if isinstance(body, dict) else {"body": body}
    if event.kind in (SCHEDULE_FIRED, DATE_REACHED):
        return {name: value for name, value in data.items() if name != "trigger"}
    return data if event.kind in _KINDS_WITH_DATA else {}


_KINDS_WITH_DATA = (NOTE_ADDED, TASK_ADDED, TASK_COMPLETED, TASK_OVERDUE, ENROLLMENT_ENDED)
