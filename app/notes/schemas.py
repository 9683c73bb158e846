"""The JSON of notes and their forms."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from app.web.actions import Action

LONGEST = 10_000


class NoteForm(msgspec.Struct, forbid_unknown_fields=True):
    """`body` is Markdown."""

    body: Annotated[
        str,
        Meta(
            min_length=1, max_length=LONGEST, extra={"error": f"Enter a note of 1 to {LONGEST:,} characters."}
        ),
    ]


class NoteView(msgspec.Struct):
    """`body` is Markdown; `author_kind` is member, token or step; `own` says that the reader wrote it;
    `edited_at` is when its author last changed it."""

    id: UUID
    contact_id: UUID
    body: str
    author_kind: str
    author_name: str
    created_at: datetime
    own: bool
    edited_at: datetime | None = None


class NotePage(msgspec.Struct):
    """One note and what its reader may do with it; `contact` is the contact's name."""

    note: NoteView
    contact: str
    actions: list[Action]


class NoteDeleted(msgspec.Struct):
    """A note that was deleted; its action restores it."""

    note: NoteView
    actions: list[Action]
