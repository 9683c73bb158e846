"""Single contacts. Pages, counts and sets of contacts are in `db/queries/contact_…`."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select

from db.models import Contact, ContactEmail
from db.tenancy import TenantRepository


class ContactRepository(TenantRepository[Contact]):
    model_type = Contact

    async def lock(self, contact_id: UUID) -> Contact | None:
        """One contact as it is now, deleted or not, locked until the transaction ends."""
        return await self.get_one_or_none(Contact.id == contact_id, with_for_update=True)

    async def holder_of(
        self, key: Literal["email", "external_id"], value: str, but: UUID | None = None
    ) -> Contact | None:
        """The live contact that has this email address (primary or not) or external ID, if it is another one
        than `but`."""
        holder = select(ContactEmail.contact_id).where(ContactEmail.email == value)
        has_value = Contact.id.in_(holder) if key == "email" else Contact.external_id == value
        conditions = [has_value, Contact.deleted_at.is_(None)]
        return await self.get_one_or_none(*conditions, *([Contact.id != but] if but is not None else []))

    async def save(self, contact: Contact, now: datetime) -> None:
        """Writes the changes of a locked contact as its next revision. Raises IntegrityError when another
        contact has its email address or external ID."""
        contact.rev += 1
        contact.updated_at = now
        await self.session.flush()
