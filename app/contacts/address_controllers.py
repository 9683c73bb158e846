"""Routes of the emails and phones of a contact."""

from functools import partial
from uuid import UUID

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.contacts.address_schemas import AddressForm, NewAddressForm
from app.contacts.addresses import NAMES, with_address, with_primary, without_address
from app.contacts.controllers import EDIT, saved
from app.contacts.schemas import ContactSaved
from app.contacts.use_cases import change_addresses
from app.web.guards import may
from app.web.methods import deletion
from app.web.responses import Saved
from app.work import Work


class AddressController(Controller):
    path = "/contacts/{contact_id:uuid}/addresses"
    tags = ("contacts",)

    @post(form="/contacts/{contact_id}", guards=[may(EDIT)], status_code=200)
    async def add_address(
        self, contact_id: FromPath[UUID], data: JSONBody[NewAddressForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Adds a further email or phone. No two contacts have the same email."""
        change = partial(with_address, kind=data.kind, value=data.address, label=data.label)
        contact = await change_addresses(work, contact_id, change)
        return saved(work, contact, f"The {NAMES[data.kind]} was added.")

    @post(
        "/primary",
        form="/contacts/{contact_id}",
        guards=[may(EDIT)],
        status_code=200,
    )
    async def make_primary(
        self, contact_id: FromPath[UUID], data: JSONBody[AddressForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Makes one of the other emails or phones the one that gets messages."""
        change = partial(with_primary, kind=data.kind, value=data.address)
        contact = await change_addresses(work, contact_id, change)
        return saved(work, contact, f"{data.address} is the primary {NAMES[data.kind]} now.")

    @deletion(guards=[may(EDIT)])
    async def remove_address(
        self, contact_id: FromPath[UUID], data: JSONBody[AddressForm], work: NamedDependency[Work]
    ) -> Saved[ContactSaved]:
        """Removes an email or phone. After the primary one the first of the others is primary."""
        change = partial(without_address, kind=data.kind, value=data.address)
        contact = await change_addresses(work, contact_id, change)
        return saved(work, contact, f"The {NAMES[data.kind]} was removed.")
