"""What is known about one contact at one moment, for predicates, templates and the engine."""

from dataclasses import dataclass, field
from uuid import UUID
from zoneinfo import ZoneInfo

UTC_ZONE = ZoneInfo("UTC")


@dataclass(slots=True)
class Facts:
    """`values` by field key: text, number, bool, ISO date text, aware datetime; missing or None is empty.
    `zone` is the account's. Steps change `values` and `tags` in place, so later steps see it."""

    values: dict[str, object] = field(default_factory=dict)
    tags: set[UUID] = field(default_factory=set)
    zone: ZoneInfo = UTC_ZONE
    contact_id: UUID | None = None
    account_name: str = ""


def contact_values(columns: dict[str, object], custom: dict[str, object]) -> dict[str, object]:
    """One mapping by field key, from a contact's columns and its custom values (keyed by field id)."""
    return columns | {f"custom.{field_id}": value for field_id, value in custom.items()}
