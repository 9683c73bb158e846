"""Validates email addresses, for contacts and members alike."""

import re

LONGEST_EMAIL = 254
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@(?:[^\s@<>()\[\],;:\"\\.]+\.)+[^\s@<>()\[\],;:\"\\.]{2,}")


def fold_email(text: str) -> str:
    """An address to look a user up by: trimmed and in lower case, and no stricter than what older versions
    stored; "" for a text that no version stored."""
    email = text.strip().lower()
    return email if email.isprintable() and len(email) <= LONGEST_EMAIL else ""


def normalize_email(text: str) -> str:
    """The address as it is stored, trimmed and in lower case; "" when it isn't a valid one."""
    email = text.strip().lower()
    valid = len(email) <= LONGEST_EMAIL and email.isprintable() and _ADDRESS.fullmatch(email)
    return email if valid else ""
