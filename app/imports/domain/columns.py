"""Which column fills which field: `guess` proposes a mapping from the header, `mapping_errors` checks the one
that a member chose."""

import re
from collections.abc import Mapping, Sequence

from app.filters.fields import TEXT_FIELDS, Fields, FieldSpec
from app.imports.domain.consents import CHANNELS
from app.imports.domain.names import fold_name

IGNORE = "ignore"
FULL_NAME = "full_name"  # split into first and last name
# The column names of address books, shops and mail tools; compared without case, blanks and punctuation.
WORDS: dict[str, tuple[str, ...]] = {
    "first_name": ("firstname", "first", "givenname", "forename", "fname", "vorname", "prenom", "nombre"),
    "last_name": ("lastname", "last", "surname", "familyname", "lname", "nachname", "nom", "apellido"),
    FULL_NAME: ("name", "fullname", "contactname", "contact", "displayname", "person", "customername"),
    "email": ("email", "emailaddress", "mail", "email1", "primaryemail", "emailaddress1", "email1value",
              "correo", "courriel"),
    "phone": ("phone", "phone1", "phonenumber", "telephone", "tel", "telefon", "primaryphone", "workphone",
              "businessphone", "homephone", "phone1value", "officephone", "telefono"),
    "phone2": ("phone2", "mobile", "mobilephone", "cell", "cellphone", "secondphone", "secondaryphone",
               "otherphone", "phone2value", "mobilenumber", "handy", "alternatephone", "fax"),
    "company": ("company", "companyname", "organization", "organisation", "employer", "business", "account",
                "accountname", "organizationname", "firma"),
    "address": ("address", "address1", "street", "streetaddress", "addressline1", "mailingstreet", "addr",
                "mailingaddress", "strasse", "homestreet", "businessstreet"),
    "city": ("city", "town", "locality", "mailingcity", "ort", "stadt", "ville", "ciudad"),
    "county": ("county", "district", "parish"),
    "state": ("state", "province", "region", "stateprovince", "mailingstate", "stateregion",
              "stateorprovince", "bundesland"),
    "postal_code": ("postalcode", "zip", "zipcode", "postcode", "postal", "plz", "mailingzip",
                    "zippostalcode", "zippostal", "codepostal"),
    "country": ("country", "countryname", "countryregion", "nation", "mailingcountry", "land", "pays",
                "pais"),
    "website": ("website", "web", "url", "homepage", "site", "webpage", "websiteurl", "www"),
    "time_zone": ("timezone", "tz", "zone"),
    "email_consent": ("emailconsent", "emailmarketingconsent", "acceptsemailmarketing", "acceptsmarketing",
                      "emailoptin", "emailoptout", "optedoutofemail", "hasoptedoutofemail", "unsubscribed",
                      "unsubscribedfromallemail", "unsubscribedat", "unsubtime", "cleantime",
                      "emailsubscription", "emailsubscriptionstatus"),
    "sms_consent": ("smsconsent", "smsmarketingconsent", "acceptssmsmarketing", "smsoptin", "smsoptout",
                    "optedoutofsms", "smssubscription", "smssubscriptionstatus"),
}  # fmt: skip
# The external ID column is never guessed: an id identifies a contact only within its own system, and the ids
# of two systems could merge two contacts. These words only show that a line is a header.
IDENTIFIERS = ("externalid", "id", "customerid", "contactid", "recordid", "clientid", "userid", "crmid",
               "uid", "reference")  # fmt: skip
IDENTIFYING = {FULL_NAME, "first_name", "last_name", "email", "phone", "company", "external_id"}
BY_WORD = {word: key for key, words in WORDS.items() for word in words}
_DATA = re.compile(r"@|^https?://|^www\.|^\+?[\d\s().-]{5,}$|^\d+([.,]\d+)?$")


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether the first line is a header rather than a contact."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if any(_DATA.search(cell) for cell in filled):
        return False
    recognized = sum(fold_name(cell) in BY_WORD or fold_name(cell) in IDENTIFIERS for cell in filled)
    return recognized > 0 or len({cell.casefold() for cell in filled}) == len(filled)


def guess(header: Sequence[str], fields: Fields) -> dict[str, str]:
    """A mapping of column number (as text, from 0) to field key or "ignore". Every field is used at most
    once; the external ID is left for a member to choose."""
    names = dict(BY_WORD)
    for spec in fields.values():
        if spec.retired:
            continue
        if spec.custom_id is not None or (spec.key in TEXT_FIELDS and spec.key != "external_id"):
            for word in (spec.key, spec.slug, spec.label, *spec.former_slugs):
                names.setdefault(fold_name(word), spec.key)
    words = [fold_name(name) for name in header]
    guesses = {str(number): names.get(word, IGNORE) for number, word in enumerate(words)}
    columns: dict[str, str] = {}
    for number, key in guesses.items():
        columns[number] = _available_field(key, set(guesses.values()), set(columns.values()))
    return columns


def _available_field(key: str, all_keys: set[str], used: set[str]) -> str:
    """The field that a column can still fill: the first phone number is the phone, the second one the second
    phone."""
    if key == FULL_NAME and {"first_name", "last_name"} & all_keys:
        return IGNORE
    if key == "phone2" and "phone" not in all_keys and "phone" not in used:
        return "phone"
    if key == "phone" and key in used and "phone2" not in all_keys | used:
        return "phone2"
    return IGNORE if key in used else key


def column_targets(fields: Mapping[str, FieldSpec]) -> list[tuple[str, str]]:
    """The choices for a column: (key, label), "Don't import" first."""
    custom = [
        (spec.key, spec.label) for spec in fields.values() if spec.custom_id is not None and not spec.retired
    ]
    built_in = [(key, fields[key].label) for key in (*TEXT_FIELDS, *CHANNELS)]
    return [(IGNORE, "Don't import"), (FULL_NAME, "Full name (first and last)"), *built_in, *custom]


def mapping_errors(columns: Mapping[str, str], header: Sequence[str], fields: Fields) -> dict[str, str]:
    """The problems of a mapping: "columns.2" to a message, "columns" for the mapping as a whole; empty when
    it is valid."""
    keys = {key for key, _ in column_targets(fields)}
    places = {str(number) for number in range(len(header))}
    errors: dict[str, str] = {}
    used: dict[str, str] = {}
    for number, key in columns.items():
        name = f"columns.{number[:20]}"
        if number not in places:
            errors[name] = f"There is no such column. Columns are numbered from 0 to {len(header) - 1}."
        elif key not in keys:
            errors[name] = "Choose a field from the list."
        elif key in used:
            errors[name] = (
                f"“{header[int(used[key])]}” already fills this field. Choose another field for one of them."
            )
        elif key != IGNORE:
            used[key] = number
    if not errors and not set(used) & IDENTIFYING:
        errors["columns"] = "Map at least one column to a name, an email address or a phone number."
    return errors
