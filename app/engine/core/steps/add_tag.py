"""Add a tag to the contact."""

from typing import TYPE_CHECKING
from uuid import UUID

from app.engine.core.checks import Problems, check_reference
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.steps.base import Config, References, Sentence, StepKind, fail
from app.engine.core.types import ContactChange, Outcome
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class AddTag(Config, frozen=True, tag="add_tag"):
    tag: UUID | None = None


def execute(run: "Run", node: "Node") -> int:
    config: AddTag = node.config
    if config.tag is None:
        return fail(run, node, "The step has no tag.")
    changed = config.tag not in run.facts.tags
    run.record(node, Outcome.DONE, {"tag": str(config.tag), "changed": changed})
    if changed:
        run.facts.tags.add(config.tag)
        if config.tag in run.out.tags_removed:
            run.out.tags_removed.discard(config.tag)  # removed and added again: no change of the contact
        else:
            run.out.tags_added.add(config.tag)
        run.change(ContactChange("tag_added", node.key, run.seq, str(config.tag)))
    return node.after


def describe(config: AddTag, _fields: Fields, names: Names) -> Sentence:
    return Sentence(f"Add tag: {lookup_name(config.tag, names.tags)}", "Contact")


def validate(config: AddTag, _fields: Fields, names: Names) -> Problems:
    yield from check_reference(config.tag, names.tags, "tag", "tag")


def references(config: AddTag) -> References:
    yield "tag", config.tag


KIND = StepKind(
    AddTag,
    label="Add tag",
    group="Contact",
    icon="tag",
    tone="quiet",
    hint="Add a tag to the contact",
    execute=execute,
    describe=describe,
    validate=validate,
    references=references,
    changes_contact=True,
    skips_deleted_contact=True,
)
