"""What the change set of a batch takes from decisions."""

from types import SimpleNamespace
from uuid import UUID

import pytest

from app.engine.advancing.changeset import ChangeSet
from app.engine.core.types import ContactChange, Decision, Status
from app.filters.fields import BUILT_IN
from db.queries.contact_batches import UPDATED_FIELDS
from tests.support.engine_kit import FIELDS, program


def test_every_writable_field_is_written() -> None:
    assert {key for key, spec in BUILT_IN.items() if spec.writable} <= UPDATED_FIELDS
    assert set(BUILT_IN) >= UPDATED_FIELDS


def test_a_field_that_no_statement_writes_is_refused() -> None:
    """Else the change would be recorded and audited, and never written."""
    change = ContactChange("field", "s1", 1, "email", None, "new@acme.example")
    decision = Decision(Status.COMPLETED, "s1", 1, changes=[change], fields={"email": "new@acme.example"})
    row = SimpleNamespace(
        id=UUID(int=1), contact_id=UUID(int=2), workflow_id=UUID(int=3), workflow_name="A",
        wait_reason=None, seq=0, depth=0, root_event_id=None,
    )  # fmt: skip
    assert "email" in FIELDS
    with pytest.raises(ValueError, match="does not write the field 'email'"):
        ChangeSet().advance(row, decision, program())
