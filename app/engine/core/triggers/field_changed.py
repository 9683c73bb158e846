"""Trigger: field changed."""

from collections.abc import Collection, Iterator
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from app.engine.core.checks import Problems
from app.engine.core.events import (
    CONTACT_UPDATED,
    EngineEvent,
    changes_of,
    comparable_text,
    comparable_texts,
    equality_key,
)
from app.engine.core.name_lookup import Names, field_label
from app.engine.core.triggers.base import CONTACT, IndexKey, Reference, TriggerConfig, check_changed_field
from app.filters.fields import Fields
from app.filters.values import fold

Side = Literal["any", "empty", "value"]


class FieldChanged(TriggerConfig, frozen=True, tag="field_changed"):
    """One field changed, from the value `before` to the value `after`. Values are compared as text, without
    case; of a multi-select each chosen option. A side is not checked when it `is` "any"; "empty" means no
    value."""

    label = "Field changed"
    hint = "One field changed, from one value to another"
    icon = "field"
    group = CONTACT
    event_kind = CONTACT_UPDATED

    field: Annotated[str, Meta(max_length=100)] = ""
    before_is: Side = "any"
    before: Annotated[str, Meta(max_length=500)] = ""
    after_is: Side = "any"
    after: Annotated[str, Meta(max_length=500)] = ""

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        # With a value after, changes to other values do not reach the trigger and cost nothing.
        if self.after_is == "any":
            return [(CONTACT_UPDATED, self.field)]
        return [(CONTACT_UPDATED, equality_key(self.field, self.after if self.after_is == "value" else None))]

    def previous_value_matches(self, event: EngineEvent) -> bool:
        if self.before_is == "any":
            return True
        before = changes_of(event).get(self.field, (None, None))[0]
        required = comparable_text(self.before) if self.before_is == "value" else ""
        return required in comparable_texts(before)

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        if not self.field:
            yield "field", "Choose a field."
        else:
            yield from check_changed_field(self.field, fields, "field")
        if self.before_is == "value" and not self.before.strip():
            yield "before", "Enter the value before the change, or choose “Anything”."
        if self.after_is == "value" and not self.after.strip():
            yield "after", "Enter the value after the change, or choose “Anything”."

    def subject(self, fields: Fields, names: Names) -> str:
        fixed = {"any": "", "empty": "empty"}
        before = fixed.get(self.before_is, self.before)
        after = fixed.get(self.after_is, self.after)
        label = field_label(self.field, fields)
        return label + (f" from {before}" if before else "") + (f" to {after}" if after else "")

    def references(self) -> Iterator[Reference]:
        yield "field", self.field
        if self.field == "owner" or self.field.startswith("custom."):  # only what is a member's id counts
            yield from (("user", user) for user in self._required_values())

    def names_option(self, field: str, options: Collection[str]) -> bool:
        return self.field == field and any(fold(text).strip() in options for text in self._required_values())

    def _required_values(self) -> Iterator[str]:
        if self.before_is == "value":
            yield self.before
        if self.after_is == "value":
            yield self.after
