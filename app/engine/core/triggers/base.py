"""What all trigger kinds share.

A kind is one frozen struct, stored as JSON under its `kind`. Its class attributes say how the builder shows
it: `label` and `hint` in the picker, `icon`, and its `group`. Its methods are what the product calls:
`index_keys` and `previous_value_matches` when an event is matched, `validate` before publishing, `subject`
for titles, `references` for "used by", `current_audience` when publishing enrolls contacts that match now."""

from collections.abc import Collection, Iterator
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems, check_filter, check_reference
from app.engine.core.events import LISTENED, SOURCE_LABELS, EngineEvent, Source
from app.engine.core.name_lookup import Names, lookup_name
from app.filters.ast import Filter
from app.filters.fields import Fields, unknown_field
from app.filters.parse import describe

# The groups of the picker, in its order.
CONTACT = "Contact"
ACTIVITY = "Notes and tasks"
TIME = "Dates and schedules"
OTHER = "Other sources"
GROUPS = (CONTACT, ACTIVITY, TIME, OTHER)

Sources = Annotated[list[Source], Meta(max_length=6)]
# (event kind, equality key); an empty key matches every event of the kind.
IndexKey = tuple[str, str]
# (tag, field, segment, workflow or user; its id or key)
Reference = tuple[str, object]

STARTED_BY = {
    (True, True): "Imports, bulk edits and single changes all start it.",
    (True, False): "Imports start it; bulk edits don't.",
    (False, True): "Bulk edits start it; imports don't.",
    (False, False): "Imports and bulk edits don't start it.",
}


class StartedBy(msgspec.Struct, frozen=True):
    """What starts a trigger, for the publish page: the labels of the sources it listens to, whether imports
    and bulk edits are among them, and the same as a sentence."""

    sources: list[str]
    imports: bool
    bulk_edits: bool
    sentence: str


class TriggerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """A trigger starts the workflow for the contact of an event from one of its `sources`, if `filter` holds
    for the contact."""

    label: ClassVar[str]
    hint: ClassVar[str]
    icon: ClassVar[str]
    group: ClassVar[str]
    event_kind: ClassVar[str]

    key: str = ""
    filter: Filter | None = None
    sources: Sources = msgspec.field(default_factory=lambda: list(LISTENED))

    @property
    def kind(self) -> str:
        """The `kind` under which the trigger is stored."""
        return str(self.__struct_config__.tag)

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        """The keys under which the trigger index keeps this trigger; see `events.index_keys_of`."""
        return [(self.event_kind, "")]

    def previous_value_matches(self, event: EngineEvent) -> bool:
        """Whether the changed field had the value that the trigger requires before the change."""
        return True

    def validate(self, fields: Fields, names: Names) -> Problems:
        """The problems that keep the trigger from being published, as (input name, message)."""
        yield from self.validate_config(fields, names)
        if not self.sources:
            yield "sources", f"“{self.label}” doesn't listen to any source. Choose at least one."
        yield from check_filter(self.filter, fields, names, "filter", "The trigger's filter")

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        """The problems with the kind's own inputs."""
        yield from ()

    def subject(self, fields: Fields, names: Names) -> str:
        """What the trigger is about, such as the name of its tag; "" when the label says it all."""
        return ""

    def title(self, fields: Fields, names: Names) -> str:
        """The label and the subject."""
        subject = self.subject(fields, names)
        return f"{self.label}: {subject}" if subject else self.label

    def summary(self, fields: Fields, names: Names) -> str:
        """The line below the title: the filter and the sources."""
        parts = ["Trigger", self.filter_sentence(fields, names), self.origin()]
        return " · ".join(part for part in parts if part)

    def filter_sentence(self, fields: Fields, names: Names) -> str:
        """The filter as a sentence; "" without one."""
        return "" if self.filter is None else describe(self.filter, fields, names.tags)

    def origin(self) -> str:
        """What starts the trigger, for the summary."""
        labels = [SOURCE_LABELS[source] for source in self.sources]
        return f"by {', '.join(labels)}" if labels else ""

    def started_by(self) -> StartedBy:
        """What starts the trigger, for the publish page."""
        imports, bulk_edits = Source.IMPORT in self.sources, Source.BULK in self.sources
        labels = [SOURCE_LABELS[source] for source in self.sources]
        return StartedBy(labels, imports, bulk_edits, STARTED_BY[imports, bulk_edits])

    def references(self) -> Iterator[Reference]:
        """What the trigger uses besides its filter."""
        yield from ()

    def names_option(self, field: str, options: Collection[str]) -> bool:
        """Whether the trigger names one of these options (case-folded) of a dropdown field."""
        return False

    def current_audience(self) -> Filter | None:
        """What publishing requires of a contact that matches now, besides the trigger's filter: the tag or
        segment that the trigger is about is present (or absent). None requires nothing more: the trigger is
        about an event that leaves no trace on the contact, is for all contacts, or its tag or segment is not
        chosen yet. See `workflows.domain.audience`."""
        return None


class TagTrigger(TriggerConfig, frozen=True):
    """A trigger about one tag."""

    tag: UUID | None = None

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(self.event_kind, str(self.tag))]

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        yield from check_reference(self.tag, names.tags, "tag", "tag")

    def subject(self, fields: Fields, names: Names) -> str:
        return lookup_name(self.tag, names.tags)

    def references(self) -> Iterator[Reference]:
        yield "tag", self.tag


class SegmentTrigger(TriggerConfig, frozen=True):
    """A trigger about the members of one segment. It listens to every source: any change of the contact, and
    time passing, can change the members."""

    sources: Sources = msgspec.field(default_factory=lambda: list(Source))
    segment: UUID | None = None

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(self.event_kind, str(self.segment))]

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        yield from check_reference(self.segment, names.segments, "segment", "segment")

    def subject(self, fields: Fields, names: Names) -> str:
        return lookup_name(self.segment, names.segments)

    def references(self) -> Iterator[Reference]:
        yield "segment", self.segment


class TimedTrigger(TriggerConfig, frozen=True):
    """A trigger that Switchyard's own clock fires. `missed` says what happens to the occurrences that a
    downtime skipped: none of them runs (`skip`), one runs for all (`once`; for dates each missed day runs,
    since it is about other contacts), or each runs, the oldest first (`all`)."""

    sources: Sources = msgspec.field(default_factory=lambda: [Source.SYSTEM])
    missed: Literal["skip", "once", "all"] = "once"

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(self.event_kind, f"{workflow_id}:{self.key}")]

    def origin(self) -> str:
        labels = {
            "skip": "missed runs are skipped",
            "once": "missed runs are combined into one",
            "all": "each missed run is made up",
        }
        return labels[self.missed]

    def started_by(self) -> StartedBy:
        return StartedBy([], False, False, "It starts at its time. Imports and bulk edits don't start it.")


def check_changed_field(key: str, fields: Fields, field: str) -> Problems:
    """Checks that the changes of a field are recorded one by one."""
    spec = fields.get(key)
    if spec is None:
        yield field, unknown_field(key, fields)
    elif not spec.is_printable:
        yield field, f"A trigger can't listen to changes of {spec.label}. Choose another field."
