"""Adding, deleting and restoring notes."""

from typing import Any
from uuid import UUID

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.notes.schemas import LONGEST, NoteView
from app.work import Work

SHOWN = 200


def view_of(work: Work, row: Any) -> NoteView:
    """A row of `Notes` as the caller sees it."""
    return NoteView(
        row.id, row.contact_id, row.body, row.author_kind, row.author_name, row.created_at, own(work, row)
    )


def own(work: Work, row: Any) -> bool:
    """Whether the caller wrote it, signed in or with a token."""
    return work.principal is not None and row.author_id in (
        str(work.principal.user_id),
        str(work.principal.token_id),
    )


async def add_note(work: Work, contact_id: UUID, body: str) -> NoteView:
    """Writes a note about a contact. Raises `Invalid`, `NotFound`, and `Conflict` for a deleted contact."""
    text = body.replace("\r\n", "\n").strip()
    if not text or "\0" in text:
        raise Invalid({"body": f"Enter a note of 1 to {LONGEST:,} characters."})
    contact = await work.contacts.lock(contact_id)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None:
        raise Conflict("This contact is deleted. Restore it first.")
    note_id = await work.notes.insert(contact_id, text, work.actor, work.now)
    work.audit("note.created", "contact", contact_id, {"note": [None, text[:SHOWN]]})
    work.emit("note.added", contact_id, {"note_id": str(note_id)})
    await work.commit()
    return view_of(work, await work.notes.row(note_id))


async def delete_note(work: Work, note_id: UUID) -> NoteView:
    """Soft-deletes a note that the caller wrote and returns it. Raises `NotFound`, `Forbidden` for another
    author's note."""
    row = await _own(work, note_id, deleted=False)
    await work.notes.mark(note_id, work.now)
    work.audit("note.deleted", "contact", row.contact_id, {"note": [row.body[:SHOWN], None]})
    await work.commit()
    return view_of(work, row)


async def restore_note(work: Work, note_id: UUID) -> NoteView:
    """Restores a deleted note that the caller wrote and returns it. Raises `NotFound`, also when it is not
    deleted, and `Forbidden` for another author's note."""
    row = await _own(work, note_id, deleted=True)
    await work.notes.mark(note_id, None)
    work.audit("note.restored", "contact", row.contact_id, {"note": [None, row.body[:SHOWN]]})
    await work.commit()
    return view_of(work, row)


async def _own(work: Work, note_id: UUID, *, deleted: bool) -> Any:
    row = await work.notes.row(note_id, deleted=deleted)
    if row is None:
        raise NotFound("note")
    if not own(work, row):
        raise Forbidden("Only its author can delete or restore a note.")
    return row
