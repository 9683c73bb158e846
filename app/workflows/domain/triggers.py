"""What starts a workflow: events, and the triggers that ask for them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from app.filters.ast import Filter


class Source(StrEnum):
    USER = "user"
    API = "api"
    BULK = "bulk"
    IMPORT = "import"
    WORKFLOW = "workflow"
    SYSTEM = "system"


# What a new trigger listens to. Workflows starting workflows is a choice that someone has to make.
LISTENED = [Source.USER, Source.API, Source.BULK, Source.IMPORT]

CONTACT_CREATED = "contact.created"
CONTACT_UPDATED = "contact.updated"
TAG_ADDED = "tag.added"
MANUAL = "enrollment.requested"


class Event(msgspec.Struct, frozen=True):
    """A fact as the trigger index reads it. `data` holds `changes` {field key: [old, new]} for
    contact.updated, `tag_id` for tag.added and `workflow_id` for enrollment.requested (ids as text)."""

    id: UUID
    kind: str
    source: Source
    subject_id: UUID
    data: Mapping[str, Any] = {}
    depth: int = 0


class _Trigger(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    key: str = ""
    filter: Filter | None = None
    sources: Annotated[list[Source], Meta(max_length=6)] = msgspec.field(
        default_factory=lambda: list(LISTENED)
    )


class ContactCreated(_Trigger, frozen=True, tag="contact_created"):
    pass


class ContactUpdated(_Trigger, frozen=True, tag="contact_updated"):
    """With `fields` (keys), only changes of one of those; without, any change."""

    fields: Annotated[list[str], Meta(max_length=50)] = []


class TagAdded(_Trigger, frozen=True, tag="tag_added"):
    tag: UUID | None = None


class Manual(_Trigger, frozen=True, tag="manual"):
    """Somebody enrolls the contact: on a screen, in bulk or through the API."""


# Where later kinds go: field changed, contact deleted, tag removed, note, task, opportunity, segment, inbound
# webhook, form, e-mail event, message, date, schedule, another workflow.
Trigger = ContactCreated | ContactUpdated | TagAdded | Manual

TRIGGERS: dict[str, type[Trigger]] = {
    "contact_created": ContactCreated,
    "contact_updated": ContactUpdated,
    "tag_added": TagAdded,
    "manual": Manual,
}
TRIGGER_LABELS: dict[str, str] = {
    "contact_created": "Contact created",
    "contact_updated": "Contact updated",
    "tag_added": "Tag added",
    "manual": "Enrolled by hand",
}


def trigger_kind(trigger: Trigger) -> str:
    """The `kind` under which this trigger is stored."""
    return str(trigger.__struct_config__.tag)


def wanted(trigger: Trigger, workflow_id: UUID) -> list[tuple[str, str]]:
    """The (event kind, equality key) pairs that this trigger listens for; an empty key takes any."""
    if isinstance(trigger, ContactCreated):
        return [(CONTACT_CREATED, "")]
    if isinstance(trigger, ContactUpdated):
        return [(CONTACT_UPDATED, field) for field in trigger.fields] or [(CONTACT_UPDATED, "")]
    if isinstance(trigger, TagAdded):
        return [(TAG_ADDED, str(trigger.tag))]
    return [(MANUAL, str(workflow_id))]


def offered(event: Event) -> Iterator[tuple[str, str]]:
    """The pairs under which triggers that may care about this event stand in the index."""
    yield event.kind, ""
    if event.kind == CONTACT_UPDATED:
        yield from ((event.kind, field) for field in event.data.get("changes", ()))
    elif event.kind == TAG_ADDED:
        yield event.kind, str(event.data.get("tag_id"))
    elif event.kind == MANUAL:
        yield event.kind, str(event.data.get("workflow_id"))


def admits(trigger: Trigger, event: Event, workflow_id: UUID) -> bool:
    """Whether the trigger asks for this kind of event at all (kind, changed field, tag, workflow); neither
    the source nor the filter is looked at."""
    return not set(wanted(trigger, workflow_id)).isdisjoint(offered(event))
