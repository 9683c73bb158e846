"""What the engine reads of an enrollment's row: `EnrolledRow` to end it, `EnrollmentRow` to decide on it,
`ActingEnrollment` to let its steps act. Rows of `db/queries` have all of it, a model all but the last."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.json_types import Json


class EnrolledRow(Protocol):
    """An enrollment, and the event by which the contact entered."""

    @property
    def id(self) -> UUID: ...
    @property
    def workflow_id(self) -> UUID: ...
    @property
    def contact_id(self) -> UUID: ...
    @property
    def root_event_id(self) -> UUID: ...
    @property
    def depth(self) -> int: ...


class EnrollmentRow(EnrolledRow, Protocol):
    """The stored state of an enrollment."""

    @property
    def version(self) -> int: ...
    @property
    def step_key(self) -> str | None: ...
    @property
    def seq(self) -> int: ...
    @property
    def wait_reason(self) -> str | None: ...
    @property
    def wait_until(self) -> datetime | None: ...
    @property
    def goal_key(self) -> str | None: ...
    @property
    def entered_at(self) -> datetime: ...
    @property
    def data(self) -> Mapping[str, Json]: ...
    @property
    def wake_event_id(self) -> UUID | None: ...
    @property
    def contact_deleted(self) -> bool: ...


class ActingEnrollment(EnrollmentRow, Protocol):
    """An enrollment whose steps change something: in the name of its workflow."""

    @property
    def workflow_name(self) -> str: ...
