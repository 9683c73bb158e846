"""One contact at one moment: the values that filters, templates and steps read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

from app.json_types import Json

UTC_ZONE = ZoneInfo("UTC")
FactValue: TypeAlias = "Json | datetime"


@dataclass(slots=True)
class Happened:
    """One event of the contact, for conditions on history. `changes` is {field key: [old, new]} of a
    contact.updated event, limited to the fields that the program reads."""

    kind: str
    at: datetime
    changes: Mapping[str, Sequence[Json]] = field(default_factory=dict)


@dataclass(slots=True)
class ContactWorkflows:
    """The workflows that the contact is in now, was ever in, and has completed."""

    active: set[UUID] = field(default_factory=set)
    ever: set[UUID] = field(default_factory=set)
    completed: set[UUID] = field(default_factory=set)


@dataclass(slots=True)
class Facts:
    """Everything about a contact that filters and steps read.

    `values` by field key: text, number, bool, ISO date text, aware datetime, a user's id as text; missing or
    None is empty. `zone` and `region` (two letters, for phone numbers without a country code) are the
    account's. Steps change `values` and `tags` in place, so later steps read the new values.

    `workflows` and `history` (newest first) are filled only when the program reads them. `users` are the
    names of the account's members by id. `data` is the enrollment's data: "event" and "response"."""

    values: dict[str, FactValue] = field(default_factory=dict)
    tags: set[UUID] = field(default_factory=set)
    zone: ZoneInfo = UTC_ZONE
    contact_id: UUID | None = None
    account_name: str = ""
    workflows: ContactWorkflows = field(default_factory=ContactWorkflows)
    history: list[Happened] = field(default_factory=list)
    users: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    region: str = "US"


def contact_values(columns: dict[str, FactValue], custom: Mapping[str, Json]) -> dict[str, FactValue]:
    """One mapping by field key, from a contact's columns and its custom values (keyed by field id)."""
    return columns | {f"custom.{field_id}": value for field_id, value in custom.items()}
