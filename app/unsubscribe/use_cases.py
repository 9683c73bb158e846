"""Denies email consent through an unsubscribe link."""

from uuid import UUID

from app.work import Work
from db.models import Contact

FIELD, DENIED = "email_consent", "denied"


async def unsubscribe(work: Work, contact_id: UUID) -> None:
    """Denies the contact's email consent once, also for a deleted contact. A deleted contact's address may
    belong to a new contact by now: the reader of that mailbox means the new contact as well, whose consent is
    denied too. For a contact that no longer exists nothing is written, since it gets no email."""
    contact = await work.contacts.lock(contact_id)
    if contact is None:
        return
    await _deny(work, contact)
    if contact.deleted_at is not None and contact.email:
        successor = await work.contacts.holder_of("email", contact.email, contact_id)
        if successor is not None:
            await _deny(work, await work.contacts.lock(successor.id))
    await work.commit()


async def _deny(work: Work, contact: Contact | None) -> None:
    """Updates the field with an audit entry and an event, like any other change."""
    if contact is None or contact.email_consent == DENIED:
        return
    changes = {FIELD: [contact.email_consent, DENIED]}
    contact.email_consent = DENIED
    await work.contacts.save(contact, work.now)
    work.audit("contact.updated", "contact", contact.id, changes, contact.rev)
    work.emit("contact.updated", contact.id, {"changes": changes})
