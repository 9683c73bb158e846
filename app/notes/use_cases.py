"""Adding, changing, deleting and restoring notes."""

from uuid import UUID

from sqlalchemy import ColumnElement

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.notes.schemas import LONGEST, NoteView
from app.work import Work
from db.models import Note
from db.queries.contact_history import NoteOfContact

SHOWN = 200


def view_of(work: Work, note: Note | NoteOfContact) -> NoteView:
    """A note as the caller sees it."""
    return NoteView(
        note.id,
        note.contact_id,
        note.body,
        note.author_kind,
        note.author_name,
        note.created_at,
        own(work, note),
        note.edited_at,
    )


def own(work: Work, note: Note | NoteOfContact) -> bool:
    """Whether the caller wrote it, signed in or with a token."""
    return work.principal is not None and note.author_id in (
        str(work.principal.user_id),
        str(work.principal.token_id),
    )


async def add_note(work: Work, contact_id: UUID, body: str) -> NoteView:
    """Writes a note about a contact. Raises `Invalid`, `NotFound`, and `Conflict` for a deleted contact."""
    text = _text(body)
    contact = await work.contacts.lock(contact_id)
    if contact is None:
        raise NotFound("contact")
    if contact.deleted_at is not None:
        raise Conflict("This contact is deleted. Restore it first.")
    note = await work.notes.add(
        Note(
            contact_id=contact_id,
            body=text,
            author_kind=work.actor.kind,
            author_id=work.actor.id,
            author_name=work.actor.name,
            created_at=work.now,
        )
    )
    work.audit("note.created", "contact", contact_id, {"note": [None, text[:SHOWN]]})
    work.emit("note.added", contact_id, {"note_id": str(note.id)})
    await work.commit()
    return view_of(work, note)


async def change_note(work: Work, note_id: UUID, body: str) -> NoteView:
    """Changes the text of a note that the caller wrote. Raises `Invalid`, `NotFound`, `Forbidden` for another
    author's note."""
    text = _text(body)
    note = await _own(work, note_id, Note.deleted_at.is_(None))
    if text != note.body:
        before, note.body, note.edited_at = note.body, text, work.now
        work.audit("note.updated", "contact", note.contact_id, {"note": [before[:SHOWN], text[:SHOWN]]})
    await work.commit()
    return view_of(work, note)


async def delete_note(work: Work, note_id: UUID) -> NoteView:
    """Soft-deletes a note that the caller wrote and returns it. Raises `NotFound`, `Forbidden` for another
    author's note."""
    note = await _own(work, note_id, Note.deleted_at.is_(None))
    note.deleted_at = work.now
    work.audit("note.deleted", "contact", note.contact_id, {"note": [note.body[:SHOWN], None]})
    await work.commit()
    return view_of(work, note)


async def restore_note(work: Work, note_id: UUID) -> NoteView:
    """Restores a deleted note that the caller wrote and returns it. Raises `NotFound`, also when it is not
    deleted, and `Forbidden` for another author's note."""
    note = await _own(work, note_id, Note.deleted_at.is_not(None))
    note.deleted_at = None
    work.audit("note.restored", "contact", note.contact_id, {"note": [None, note.body[:SHOWN]]})
    await work.commit()
    return view_of(work, note)


def _text(body: str) -> str:
    text = body.replace("\r\n", "\n").strip()
    if not text or "\0" in text:
        raise Invalid({"body": f"Enter a note of 1 to {LONGEST:,} characters."})
    return text


async def _own(work: Work, note_id: UUID, state: ColumnElement[bool]) -> Note:
    note = await work.notes.get_one_or_none(state, id=note_id, with_for_update=True)
    if note is None:
        raise NotFound("note")
    if not own(work, note):
        raise Forbidden("Only its author can change, delete or restore a note.")
    return note
