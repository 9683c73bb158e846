"""Parts of the forms of contacts: emails and phones, and what a custom field takes."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.contacts.addresses import Kind

_JSON_TYPES = [
    {
        "type": "string",
        "description": 'Text, an option, a date, a time, a member\'s id. "" clears the field.',
    },
    {"type": "number"},
    {"type": "boolean"},
    {"type": "array", "items": {"type": "string"}, "description": "The options of a multi-select."},
    {"type": "null"},
]
CUSTOM_VALUE = Meta(extra_json_schema={"anyOf": _JSON_TYPES})


class OtherAddress(msgspec.Struct, forbid_unknown_fields=True):
    """A further email or phone of a contact; `label` says which one it is, such as work."""

    value: Annotated[str, Meta(max_length=5000)]
    label: Annotated[str, Meta(max_length=5000)] = ""


class AddressForm(msgspec.Struct, forbid_unknown_fields=True):
    """An email or a phone of a contact, as it is stored."""

    kind: Kind
    address: Annotated[str, Meta(min_length=1, max_length=5000)]


class NewAddressForm(AddressForm, forbid_unknown_fields=True):
    """A further email or phone. A contact without any gets it as the primary one."""

    label: Annotated[str, Meta(max_length=5000)] = ""
