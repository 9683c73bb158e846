"""What an email address is: the one check, for contacts, members and sign-in alike."""

import re

LONGEST_EMAIL = 254
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@(?:[^\s@<>()\[\],;:\"\\.]+\.)+[^\s@<>()\[\],;:\"\\.]{2,}")


def normalize_email(text: str) -> str:
    """The address as it is stored, trimmed and in lower case; "" when it isn't a valid one."""
    email = text.strip().lower()
    valid = len(email) <= LONGEST_EMAIL and email.isprintable() and _ADDRESS.fullmatch(email)
    return email if valid else ""
