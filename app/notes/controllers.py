"""Notes on the page of a contact, and the page of one note."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.notes.pages import note_page
from app.notes.schemas import NoteDeleted, NoteForm, NotePage, NoteView
from app.notes.use_cases import add_note, change_note, delete_note, restore_note
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.body_limits import LONG_TEXT
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS


class NoteController(Controller):
    tags = ("notes",)

    @post(
        "/contacts/{contact_id:uuid}/notes",
        form="/contacts/{contact_id}",
        guards=[may(EDIT)],
        limits=LONG_TEXT,
    )
    async def create(
        self, contact_id: FromPath[UUID], data: JSONBody[NoteForm], work: NamedDependency[Work]
    ) -> Saved[NoteView]:
        """Writes a note about a contact."""
        note = await add_note(work, contact_id, data.body)
        return Saved(note, see=f"/contacts/{contact_id}", note="The note was added.")

    @get("/notes/{note_id:uuid}", page="notes/show.html", guards=[may(Permission.VIEW)])
    async def show(self, note_id: FromPath[UUID], work: NamedDependency[Work]) -> NotePage:
        """One note, with the form that changes it for its author."""
        return await note_page(work, note_id)

    @partial_update("/notes/{note_id:uuid}", form="/notes/{note_id}", guards=[may(EDIT)], limits=LONG_TEXT)
    async def update(
        self, note_id: FromPath[UUID], data: JSONBody[NoteForm], work: NamedDependency[Work]
    ) -> Saved[NoteView]:
        """Changes the text of a note that the caller wrote."""
        note = await change_note(work, note_id, data.body)
        return Saved(note, see=f"/contacts/{note.contact_id}", created=False, note="Note saved.")

    @deletion("/notes/{note_id:uuid}", guards=[may(EDIT)])
    async def delete_note(self, note_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[NoteDeleted]:
        """Deletes a note that the caller wrote; the response's action restores it."""
        note = await delete_note(work, note_id)
        undo = f"/notes/{note_id}/restoration"
        page = NoteDeleted(note, actions(action(work, "restore", "Restore note", undo, permission=EDIT)))
        see = f"/contacts/{note.contact_id}"
        return Saved(page, see=see, created=False, note="Note deleted.", undo=undo)

    @post("/notes/{note_id:uuid}/restoration", guards=[may(EDIT)], status_code=200)
    async def restore_note(self, note_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[NoteView]:
        """Restores a deleted note that the caller wrote."""
        note = await restore_note(work, note_id)
        return Saved(note, see=f"/contacts/{note.contact_id}", created=False, note="Note restored.")
