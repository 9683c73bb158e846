"""Names of what a draft refers to by id: tags, segments, workflows, members."""

from collections.abc import Mapping

import msgspec

from app.filters.fields import Fields


class Names(msgspec.Struct, frozen=True):
    """Names by id (as text) of the account's tags, segments, members and workflows that are not archived.
    `steps` are the keys that a step may lead to, `saved` the names under which webhooks save their responses;
    None means unknown, and then neither is checked. `step_titles` are those of the steps that others jump to,
    by key; None means unknown."""

    tags: Mapping[str, str] = {}
    segments: Mapping[str, str] = {}
    workflows: Mapping[str, str] = {}
    users: Mapping[str, str] = {}
    steps: frozenset[str] | None = None
    saved: frozenset[str] | None = None
    step_titles: Mapping[str, str] | None = None


def lookup_name(target: object, names: Mapping[str, str]) -> str:
    """The name of the thing with an id; "…" when none is chosen, "deleted" when it no longer exists."""
    return "…" if target is None else names.get(str(target), "deleted")


def field_label(key: str, fields: Fields) -> str:
    """A field's label; its key when the account has no such field, "…" when none is chosen."""
    return fields[key].label if key in fields else key or "…"
