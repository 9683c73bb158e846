"""Add a note to the contact."""

from typing import TYPE_CHECKING

from app.engine.core.checks import Problems, check_templates, check_text
from app.engine.core.merge_tags import Output
from app.engine.core.name_lookup import Names
from app.engine.core.scalars import Text
from app.engine.core.steps.base import (
    Config,
    Sentence,
    StepKind,
    Templates,
    fails_on_long_text,
    first_line,
    skip,
)
from app.engine.core.types import ContactChange, Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class AddNote(Config, frozen=True, tag="add_note"):
    """`text` is a template."""

    text: Text = ""


def templates(config: AddNote) -> Templates:
    return {"text": (config.text, Output.TEXT)}


@fails_on_long_text
def execute(run: "Run", node: "Node") -> int:
    text = node.templates["text"].render(run.facts).strip()
    if not text:
        return skip(run, node, "The note is empty with this contact's values.")
    run.record(node, Outcome.DONE, {"note": text[:200]})
    run.out.notes.append(text)
    run.change(ContactChange("note_added", node.key, run.seq, text))
    return node.after


def describe(config: AddNote, _fields: Fields, _names: Names) -> Sentence:
    return Sentence(f"Note: {first_line(config.text) or '…'}", "Contact")


def validate(config: AddNote, fields: Fields, names: Names) -> Problems:
    yield from check_text(config.text, "text", "The note has no text.")
    yield from check_templates(templates(config), fields, names)


KIND = StepKind(
    AddNote,
    label="Add note",
    group="Contact",
    icon="file",
    tone="quiet",
    hint="Add a note to the contact",
    execute=execute,
    describe=describe,
    validate=validate,
    templates=templates,
    skips_deleted_contact=True,
)
