"""The JSON of the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from app.web.actions import Action

KINDS = (
    "account",
    "contact",
    "tag",
    "field",
    "import",
    "workflow",
    "enrollment",
    "job",
    "member",
    "session",
    "token",
)
ACTOR_KINDS = ("member", "token", "step", "import", "contact", "system")
FORMER_ACTOR_KINDS = {"person": "member"}  # in links of earlier releases
PAGES = {
    "contact": "/contacts/{}",
    "import": "/imports/{}",
    "workflow": "/workflows/{}",
    "enrollment": "/enrollments/{}",
}


class FieldChange(msgspec.Struct):
    """The change of one field."""

    field: str
    # Any: JSON, whose recursive type OpenAPI cannot describe.
    before: Any
    after: Any


class AuditEntry(msgspec.Struct):
    """One change: actor, action, subject. `href` leads to the subject if it has a page."""

    id: UUID
    occurred_at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    subject_kind: str
    subject_id: str
    changes: list[FieldChange]
    request_id: str | None = None
    href: str = ""


class AuditList(msgspec.Struct):
    """One page, newest first; `next` and `previous` are URLs, "" for none. `labels` are the labels of fields
    by key."""

    items: list[AuditEntry]
    next: str
    previous: str
    subject_kind: str
    subject_id: str
    actor_kind: str
    actor: str
    kinds: list[str]
    actor_kinds: list[str]
    actions: list[Action]
    labels: dict[str, str] = {}
