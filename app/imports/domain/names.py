"""Compares names of columns and words in cells."""

import unicodedata


def fold_name(name: str) -> str:
    """A text without case, accents, blanks and punctuation."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in folded if char.isalnum())
