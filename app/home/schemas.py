"""The overview."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.web.actions import Action


class OverviewTile(msgspec.Struct):
    """One number and where it leads; `alarm` when it needs attention."""

    key: str
    label: str
    value: int
    note: str
    href: str
    alarm: bool = False


class Failure(msgspec.Struct):
    """A failed job, or a step that failed or is in doubt for `contacts` contacts, as on the Jobs page."""

    what: str
    id: UUID
    title: str
    error: str
    note: str
    at: datetime
    href: str
    contacts: int


class Link(msgspec.Struct):
    """A link to another page."""

    label: str
    href: str
    icon: str
    note: str


class Overview(msgspec.Struct):
    account_name: str
    tiles: list[OverviewTile]
    failures: list[Failure]
    links: list[Link]
    actions: list[Action]
