"""The page of one note."""

from uuid import UUID

from app.contacts.domain import name_of
from app.errors import NotFound
from app.notes.schemas import NoteForm, NotePage, NoteView
from app.notes.use_cases import view_of
from app.permissions import Permission
from app.web.actions import Action, action, actions
from app.work import Work
from db.models import Note

EDIT = Permission.EDIT_CONTACTS


async def note_page(work: Work, note_id: UUID) -> NotePage:
    """One note with its form. Raises `NotFound`."""
    note = await work.notes.get_one_or_none(Note.deleted_at.is_(None), id=note_id)
    if note is None:
        raise NotFound("note")
    contact = await work.contacts.get_one(id=note.contact_id)
    view = view_of(work, note)
    return NotePage(view, name_of(contact), note_actions(work, view, live=contact.deleted_at is None))


def note_actions(work: Work, note: NoteView, *, live: bool) -> list[Action]:
    """What the caller may do with a note; nothing while its contact is deleted."""
    href = f"/notes/{note.id}"
    return actions(
        action(
            work, "update", "Save", href, method="PATCH", permission=EDIT, form=NoteForm,
            when=note.own and live,
        ),
        action(
            work, "delete", "Delete note", href, method="DELETE", permission=EDIT, when=note.own and live
        ),
    )  # fmt: skip
