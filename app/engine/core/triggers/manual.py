"""Trigger: enrolled manually."""

from uuid import UUID

from app.engine.core.events import MANUAL, SOURCE_LABELS, Source
from app.engine.core.triggers.base import OTHER, IndexKey, StartedBy, TriggerConfig


class Manual(TriggerConfig, frozen=True, tag="manual"):
    """A member or a script enrolls the contact: on a screen, in bulk or through the API. A step of another
    workflow may do it too when `sources` includes workflows."""

    label = "Enrolled manually"
    hint = "A member or a script enrolls the contact"
    icon = "play"
    group = OTHER
    event_kind = MANUAL

    def index_keys(self, workflow_id: UUID) -> list[IndexKey]:
        return [(MANUAL, str(workflow_id))]

    def started_by(self) -> StartedBy:
        # An import never enrolls, whatever the trigger's sources say.
        labels = [SOURCE_LABELS[source] for source in self.sources if source is not Source.IMPORT]
        sentence = (
            "Contacts enter only when they are enrolled, one by one or in bulk. Imports do not start it."
        )
        return StartedBy(labels, False, Source.BULK in self.sources, sentence)
