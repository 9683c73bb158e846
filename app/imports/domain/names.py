"""Folds column names and words in cells, so that they can be compared."""

import unicodedata


def fold_name(name: str) -> str:
    """The text in lower case without accents, spaces and punctuation."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in folded if char.isalnum())
