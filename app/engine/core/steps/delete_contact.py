"""Delete the contact, which ends the enrollment. It can be restored for 30 days."""

from typing import TYPE_CHECKING

from app.engine.core.name_lookup import Names
from app.engine.core.steps.base import Config, Sentence, StepKind
from app.engine.core.types import STOPPED, ContactChange, ExitReason, Outcome, Status
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class DeleteContact(Config, frozen=True, tag="delete_contact"):
    """A deleted contact can be restored for 30 days."""


def execute(run: "Run", node: "Node") -> int:
    run.record(node, Outcome.DONE, {})
    run.out.delete = True
    run.change(ContactChange("deleted", node.key, run.seq, ""))
    run.finish(node.key, Status.EXITED, ExitReason.SUBJECT_DELETED)
    return STOPPED


def describe(_config: DeleteContact, _fields: Fields, _names: Names) -> Sentence:
    return Sentence("Delete contact")


KIND = StepKind(
    DeleteContact,
    label="Delete contact",
    group="Contact",
    icon="trash",
    tone="quiet",
    hint="Delete the contact; it can be restored for 30 days",
    execute=execute,
    describe=describe,
    changes_contact=True,
    skips_deleted_contact=True,
    interrupts=True,
)
