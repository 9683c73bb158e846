"""Reads the consent in a cell from the usual words of mail tools and shops. An unlisted word is an error: a
consent is never guessed. `consent_of` is the entry point."""

import re

from app.imports.domain.names import fold_name

CHANNELS = ("email_consent", "sms_consent")
GRANTED, DENIED = "granted", "denied"
_YES = frozenset({"yes", "y", "true", "1", "on", "ja", "oui", "si"})
_NO = frozenset({"no", "n", "false", "0", "off", "nein", "non"})
_SUBSCRIBED = frozenset({"subscribed", "subscribe", "optedin", "optin", "doubleoptin"})
# Agreement with the header: in a column "Opt out confirmed" they mean the opposite.
_AGREED = frozenset({"granted", "confirmed", "accepted", "agreed", "consented", "allowed"})
_DENIED = frozenset(
    {
        "unsubscribed", "unsubscribe", "unsub", "cleaned", "bounced", "bounce", "hardbounce", "hardbounced",
        "optedout", "optout", "denied", "declined", "refused", "revoked", "withdrawn", "complained",
        "complaint", "spam", "spamcomplaint", "suppressed", "blocked", "blocklisted", "blacklisted",
        "noconsent", "donotcontact", "donotemail", "donotmail", "donotcall", "donottext",
        "donotsms",
    }
)  # fmt: skip
_NOTHING = frozenset({"", "unknown", "notset", "null", "none", "na"})
# Columns in which yes, or a date, means that the contact opted out.
_OPT_OUT = re.compile(r"opt(ed)?out|unsub|clean|bounce|suppress|block|donot(contact|e?mail|call|text|sms)")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")


class UnknownWord(ValueError):
    """A cell with an unrecognized consent value; the message says what to do."""


def is_opt_out(header: str) -> bool:
    """Whether a column records opt-outs, judging by its name; then yes means denied."""
    return _OPT_OUT.search(fold_name(header)) is not None


def consent_of(cell: str, *, opt_out: bool) -> str | None:
    """The consent in a cell, None if there is none. `opt_out` is the result of `is_opt_out` for its column.
    Raises UnknownWord."""
    word = fold_name(cell)
    if word in _NOTHING:
        return None
    if word in _DENIED:
        return DENIED
    if word in _SUBSCRIBED or (word in _AGREED and not opt_out):
        return GRANTED
    if opt_out:
        # A contact that did not opt out has not opted in either.
        if word in _NO:
            return None
        if word in _YES or _DATE.match(cell.strip()):
            return DENIED
    elif word in _YES | _NO:
        return GRANTED if word in _YES else DENIED
    raise UnknownWord(
        f"“{cell.strip()[:40]}” isn't a consent value we recognize. "
        "Use subscribed or unsubscribed, or leave the cell empty."
    )
