"""Trigger: contact updated."""

from collections.abc import Iterator
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from app.engine.core.checks import Problems
from app.engine.core.events import CONTACT_UPDATED
from app.engine.core.name_lookup import Names, field_label
from app.engine.core.triggers.base import CONTACT, IndexKey, Reference, TriggerConfig, check_changed_field
from app.filters.fields import Fields


class ContactUpdated(TriggerConfig, frozen=True, tag="contact_updated"):
    """A contact changed: any of `fields` (keys), or anything when the list is empty."""

    label = "Contact updated"
    hint = "A contact changed"
    icon = "edit"
    group = CONTACT
    event_kind = CONTACT_UPDATED

    fields: Annotated[list[str], Meta(max_length=50)] = []

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(CONTACT_UPDATED, field) for field in self.fields] or [(CONTACT_UPDATED, "")]

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        for key in self.fields:
            yield from check_changed_field(key, fields, "fields")

    def subject(self, fields: Fields, names: Names) -> str:
        return ", ".join(field_label(key, fields) for key in self.fields)

    def references(self) -> Iterator[Reference]:
        yield from (("field", key) for key in self.fields)
