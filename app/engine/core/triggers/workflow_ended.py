"""Trigger: the contact's enrollment in another workflow ended."""

from collections.abc import Iterator
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.checks import Problems, check_reference
from app.engine.core.events import ENROLLMENT_ENDED, Source
from app.engine.core.name_lookup import Names, lookup_name
from app.engine.core.triggers.base import OTHER, IndexKey, Reference, Sources, TriggerConfig
from app.filters.fields import Fields


class WorkflowEnded(TriggerConfig, frozen=True, tag="workflow_ended"):
    """The contact's enrollment in `workflow` ended, in one of `statuses` (empty: in any)."""

    label = "Another workflow ended"
    hint = "A contact reached the end of another workflow"
    icon = "flow"
    group = OTHER
    event_kind = ENROLLMENT_ENDED

    workflow: UUID | None = None
    statuses: Annotated[list[Literal["completed", "incomplete", "exited", "failed"]], Meta(max_length=4)] = []
    sources: Sources = msgspec.field(default_factory=lambda: [Source.WORKFLOW])

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        by_status = [(ENROLLMENT_ENDED, f"{self.workflow}:{status}") for status in self.statuses]
        return by_status or [(ENROLLMENT_ENDED, str(self.workflow))]

    def validate_config(self, fields: Fields, names: Names) -> Problems:
        yield from check_reference(self.workflow, names.workflows, "workflow", "workflow")

    def subject(self, fields: Fields, names: Names) -> str:
        return lookup_name(self.workflow, names.workflows)

    def references(self) -> Iterator[Reference]:
        yield "workflow", self.workflow
