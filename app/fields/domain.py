"""Validates custom fields: short names and options. Pure."""

import re
import unicodedata

from app.filters.fields import BUILT_IN

LONGEST_KEY, LONGEST_OPTION, MOST_OPTIONS, MOST_FIELDS = 40, 100, 200, 100


def key_of(text: str) -> str:
    """A short name derived from a label: "Lead score" gives lead_score."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    key = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:LONGEST_KEY].strip("_")
    return key if key[:1].isalpha() else f"field_{key}".rstrip("_")[:LONGEST_KEY]


def key_error(key: str) -> str:
    """Why this can't be a short name, as a message; "" when it can."""
    if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key) is None:
        return "Use lowercase letters, digits and “_”, starting with a letter."
    return "A built-in field already has this name. Choose another." if key in BUILT_IN else ""


def read_options(text: str) -> list[str]:
    """The options of a dropdown field, one per line; blank lines and repetitions are left out. Raises
    ValueError with a message."""
    options = list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not options:
        raise ValueError("Enter at least one option, one per line.")
    if len(options) > MOST_OPTIONS:
        raise ValueError(f"A field can have at most {MOST_OPTIONS} options.")
    if any(len(option) > LONGEST_OPTION or "\0" in option for option in options):
        raise ValueError(f"An option can have at most {LONGEST_OPTION} printable characters.")
    return options
