"""Create a task about the contact for a member."""

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from app.engine.core.checks import Problems, check_period, check_reference, check_templates, check_text
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Amount, Line, Text, Unit
from app.engine.core.steps.base import (
    Config,
    References,
    Sentence,
    StepKind,
    Templates,
    fails_on_long_text,
    owner_of,
    period,
    skip,
)
from app.engine.core.timing.wait_times import period_end
from app.engine.core.types import ContactChange, NewTask, Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class CreateTask(Config, frozen=True, tag="create_task"):
    """`title` and `body` are templates; due `amount` `unit`s from now, or never without `has_due`."""

    title: Line = ""
    body: Text = ""
    assignee: Literal["owner", "user", "nobody"] = "owner"
    user: UUID | None = None
    has_due: bool = True
    amount: Amount = 1
    unit: Unit = Unit.DAYS


def templates(config: CreateTask) -> Templates:
    return {"title": (config.title, Output.SUBJECT), "body": (config.body, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    config: CreateTask = node.config
    title, body = node.templates["title"].render(run.facts), node.templates["body"].render(run.facts)
    if not title:
        return skip(run, node, "The task has no title with this contact's values.")
    assignee = {"owner": owner_of(run), "user": config.user, "nobody": None}[config.assignee]
    if run.around.members and assignee not in run.around.members:
        assignee = None
    due = period_end(config.amount, config.unit, run.now, run.facts.zone) if config.has_due else None
    run.record(
        node,
        Outcome.DONE,
        {
            "task": title,
            "assignee": str(assignee) if assignee else None,
            "due": due.isoformat() if due else None,
        },
    )
    run.out.tasks.append(NewTask(title, body, assignee, due))
    run.change(ContactChange("task_added", node.key, run.seq, title))
    return node.after


def describe(config: CreateTask, _fields: Fields, _names: Names) -> Sentence:
    due = f"Due in {period(config.amount, config.unit)}" if config.has_due else "Not due"
    return Sentence(f"Task: {config.title or '…'}", due)


def validate(config: CreateTask, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.title, "title", "The task has no title.")
    yield from check_templates(templates(config), fields, names)
    if config.assignee == "user":
        yield from check_reference(config.user, names.users, "user", "member")
    if config.has_due:
        yield from check_period(config.amount, "Enter a due period longer than zero.")


def references(config: CreateTask) -> References:
    if config.assignee == "user":
        yield "user", config.user


KIND = StepKind(
    CreateTask,
    label="Create task",
    group="Contact",
    icon="check",
    tone="quiet",
    hint="Assign a task to a member",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    templates=templates,
    skips_deleted_contact=True,
)
