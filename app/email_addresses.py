"""The one rule for email addresses: forms, the API, imports, steps, inbound webhooks, members, and sending.

An address is stored as people read it: in lower case, in form NFC, its domain in letters (`bücher.example`,
never `xn--bcher-kva.example`). `mailable` is how it is sent. The part before the @ may have letters beyond
a to z: such an address can be mailed through servers that know SMTPUTF8 (`app.integrations.smtp`).

Not email-validator, which was tried: for one address it takes twice as long as normalizing a whole imported
row, and it refuses addresses that exist (a..b@docomo.ne.jp, ana@corp.local)."""

import re
from unicodedata import normalize

import idna

from app.stored_text import clean_text

LONGEST_EMAIL = 254  # bytes
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@(?:[^\s@<>()\[\],;:\"\\.]+\.)+[^\s@<>()\[\],;:\"\\.]{2,}")
_ACE = "xn--"  # begins a label of a domain that is written in ASCII instead of its letters


def fold_email(text: str) -> str:
    """The email to look a user up by: in its stored form, or trimmed and in lower case where it is one that
    an older version could store; "" for any other text."""
    email = text.strip().lower()
    return normalize_email(text) or (email if email.isprintable() and len(email) <= LONGEST_EMAIL else "")


def normalize_email(text: str) -> str:
    """The email in its stored form; "" if it isn't valid."""
    email = text.strip().lower()
    if not email.isascii() or _ACE in email:
        name, _, domain = normalize("NFC", clean_text(text).strip().lower()).rpartition("@")
        email = f"{name}@{_readable(domain)}"
    valid = (
        len(email) <= LONGEST_EMAIL
        and email.isprintable()
        and _ADDRESS.fullmatch(email)
        and len(email.encode()) <= LONGEST_EMAIL
    )
    return email if valid else ""


def mailable(email: str) -> str:
    """The address as mail servers take it: its domain in ASCII. Raises UnicodeError for one that was stored
    by an older version and has no such form."""
    name, _, domain = email.rpartition("@")
    return email if domain.isascii() else f"{name}@{idna.encode(domain).decode()}"


def _readable(domain: str) -> str:
    """The domain in its letters; "" for one that cannot be registered."""
    if domain.isascii() and _ACE not in domain:
        return domain
    try:
        return idna.decode(idna.encode(domain, uts46=True))
    except UnicodeError:
        return ""
