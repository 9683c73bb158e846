"""Steps that change the contact, or what belongs to it. Where later kinds go: opportunities and their stages,
with pipelines."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from app.engine.core.steps.base import Amount, Config, Line, Text, Unit

Users = Annotated[list[UUID], Meta(max_length=200)]


class AddTag(Config, frozen=True, tag="add_tag"):
    tag: UUID | None = None


class RemoveTag(Config, frozen=True, tag="remove_tag"):
    tag: UUID | None = None


class UpdateField(Config, frozen=True, tag="update_field"):
    """`value` is a template; what it renders to must fit the field's type. Empty text clears. `add` adds a
    number to a number field (nothing there counts as 0); `copy` takes the value of the field `source`."""

    field: Line = ""
    operation: Literal["set", "clear", "add", "copy"] = "set"
    value: Text = ""
    source: Line = ""


class AssignOwner(Config, frozen=True, tag="assign_owner"):
    """One of `users` becomes the contact's owner: the first (`user`), each in turn, or the one who owns the
    fewest contacts. `nobody` takes the owner away."""

    mode: Literal["user", "round_robin", "least_busy", "nobody"] = "user"
    users: Users = []
    only_if_unassigned: bool = False


class AddNote(Config, frozen=True, tag="add_note"):
    """`text` is a template."""

    text: Text = ""


class CreateTask(Config, frozen=True, tag="create_task"):
    """`title` and `body` are templates; due `amount` `unit`s from now, or never without `has_due`."""

    title: Line = ""
    body: Text = ""
    assignee: Literal["owner", "user", "nobody"] = "owner"
    user: UUID | None = None
    has_due: bool = True
    amount: Amount = 1
    unit: Unit = Unit.DAYS


class SetConsent(Config, frozen=True, tag="set_consent"):
    channel: Literal["email", "sms"] = "email"
    state: Literal["granted", "denied", "unknown"] = "granted"


class DeleteContact(Config, frozen=True, tag="delete_contact"):
    """Into the bin, from which it can be taken back for 30 days; the enrollment ends."""
