"""The overview."""

from datetime import datetime
from uuid import UUID

import msgspec

from app.web.actions import Action


class Tile(msgspec.Struct):
    """One number and where it leads; `alarm` when it needs somebody."""

    key: str
    label: str
    value: int
    note: str
    href: str
    alarm: bool = False


class Failure(msgspec.Struct):
    """Something that failed: a job or an enrollment."""

    what: str
    id: UUID
    title: str
    error: str
    at: datetime
    href: str


class Link(msgspec.Struct):
    """Where to go next."""

    label: str
    href: str
    icon: str
    note: str


class Overview(msgspec.Struct):
    account_name: str
    tiles: list[Tile]
    failures: list[Failure]
    links: list[Link]
    actions: list[Action]
