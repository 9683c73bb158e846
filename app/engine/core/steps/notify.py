"""Notify members inside the product, and by email if wanted."""

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from app.engine.core.checks import Problems, check_members, check_templates, check_text
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Line, OnDoubt, Text
from app.engine.core.steps.base import (
    Config,
    References,
    Sentence,
    StepKind,
    Templates,
    Users,
    fails_on_long_text,
    member_names,
    owner_of,
    skip,
)
from app.engine.core.steps.outbound import request_effect
from app.engine.core.types import EffectRequest, NewNotification, Outcome
from app.filters.fields import Fields
from app.json_types import JsonObject

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class Notify(Config, frozen=True, tag="notify"):
    """With `email` the members also get one email, addressed to all of them. `title` and `body` are
    templates."""

    to: Literal["owner", "users", "everyone"] = "owner"
    users: Users = []
    title: Line = ""
    body: Text = ""
    email: bool = False


def templates(config: Notify) -> Templates:
    return {"title": (config.title, Output.SUBJECT), "body": (config.body, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    """The email is sent again after a crash: a second copy does no harm."""
    config: Notify = node.config
    users = _recipients(run, config)
    if not users:
        reason = (
            "The contact has no owner."
            if config.to == "owner"
            else "None of the chosen members belong to this account anymore."
        )
        return skip(run, node, reason)
    title, body = node.templates["title"].render(run.facts), node.templates["body"].render(run.facts)
    run.out.notifications.extend(NewNotification(user, title, body) for user in users)
    if not config.email:
        run.record(node, Outcome.DONE, {"users": [str(user) for user in users], "title": title})
        return node.after
    payload: JsonObject = {
        "to": "",
        "to_name": "",
        "subject": title,
        "body": body,
        "from_name": "",
        "reply_to": "",
        "internal": True,
        "users": [str(user) for user in users],
    }
    return request_effect(run, node, EffectRequest("email", node.key, 0, "", payload, OnDoubt.RESEND))


def _recipients(run: "Run", config: Notify) -> list[UUID]:
    members = run.around.members
    if config.to == "everyone":
        return list(members)
    owner = owner_of(run)
    users = config.users if config.to == "users" else [] if owner is None else [owner]
    return [user for user in dict.fromkeys(users) if not members or user in members]


def describe(config: Notify, _fields: Fields, names: Names) -> Sentence:
    fixed = {"owner": "the owner", "everyone": "everybody"}.get(config.to)
    return Sentence(f"Notify {fixed or member_names(config.users, names)}", config.title or "No text yet")


def validate(config: Notify, fields: Fields, names: Names) -> Problems:
    if config.to == "users" and not config.users:
        yield "users", "Choose who to notify."
    if config.to == "users":
        yield from check_members(config.users, names)
    yield from check_text(config.title, "title", "The notification has no title.")
    yield from check_templates(templates(config), fields, names)


def references(config: Notify) -> References:
    if config.to == "users":
        yield from (("user", user) for user in config.users)


KIND = StepKind(
    Notify,
    label="Notify the team",
    group="Send",
    icon="inbox",
    hint="Notify members in Switchyard and, optionally, by email",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    templates=templates,
    needs_members=lambda _config: True,
)
