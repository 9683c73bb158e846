"""Classifies refusals of mail servers: is the cause this one recipient, or the sender? `class_of` names the
error class that circuit breakers and bounces use.

An enhanced status (RFC 3463) decides if there is one: 5.1.x and 5.2.x are about the address; 5.3.x, 5.5.x and
5.7.x about the system, the protocol or a policy. Replies without one, or with one that says little (5.0.x,
5.3.0, 5.4.x, 5.5.0), are classified by their words. The rest is `recipient_550`: a bounce that counts against
the step when several recipients get it."""

import re

from app.ports import ADDRESS_ERROR, UNCLEAR_PREFIX

_STATUS = re.compile(r"^[245]\.(\d{1,3})\.(\d{1,3})(?!\d)")
_ADDRESSES = re.compile(r"<[^>]*>|\S+@\S+")
_OF_SENDER = {"7", "8"}  # 5.1.7 and 5.1.8: the sender's address
_RELAY = re.compile(r"\brelay", re.IGNORECASE)
_POLICY = re.compile(
    r"authenticat|access denied|policy|\bblock|black ?list|\bspam|reputation|\b(spf|dkim|dmarc)\b|too many"
    r"|\bsender\b|\bbanned\b|not (permitted|authori[sz]ed)"
    # About the sender: the limits of the sending account, or the name or host that the mail comes from.
    r"|\b(sending|daily|hourly|helo|ehlo|client)\b|\bmail from\b|\byour (host|ip|server|domain)\b",
    re.IGNORECASE,
)
_MAILBOX = re.compile(
    r"mailbox|quota|no such|unknown|does(n't| not) exist|not found|undeliverable|unroute?able|no mx\b"
    r"|(recipient|address|user|account|domain)[^.;]{0,40}(invalid|disabled|inactive|suspended|full|has no mx)"
    r"|invalid (recipient|address|user|account|domain)",
    re.IGNORECASE,
)
# Exchange Online, for a mailbox that does not exist.
_EXCHANGE = ("5.4.1", "recipient address rejected: access denied")


def class_of(code: int, text: str, *, recipient: bool = False, message: bool = False) -> str:
    """The error class of a reply: `recipient` when it answers RCPT, `message` when it answers the message
    itself. 4xx are distinguished by code alone; 5xx by their enhanced status, or by code without one."""
    if code < 500:
        return f"smtp_{code}"
    status = _STATUS.match(text.strip())
    words = _ADDRESSES.sub(" ", text)
    name = status.group(0) if status else str(code)
    if (recipient or message) and _about_address(status, words):
        return ADDRESS_ERROR
    if recipient and not _about_sender(status, words):
        return f"{UNCLEAR_PREFIX}{name}"
    return f"smtp_{name}"


def _about_address(status: re.Match[str] | None, words: str) -> bool:
    if _RELAY.search(words):
        return False
    if status is not None and status.group(1) in ("1", "2"):
        return status.group(1) == "2" or status.group(2) not in _OF_SENDER
    if status is not None and status.group(0) == _EXCHANGE[0] and _EXCHANGE[1] in words.casefold():
        return True
    if status is not None and _about_system(status):
        return False
    return _MAILBOX.search(words) is not None and _POLICY.search(words) is None


def _about_system(status: re.Match[str]) -> bool:
    """5.3.0 and 5.5.0 say little ("5.5.0 mailbox unavailable"), so the words decide."""
    return status.group(1) in ("6", "7") or (status.group(1) in ("3", "5") and status.group(2) != "0")


def _about_sender(status: re.Match[str] | None, words: str) -> bool:
    if status is not None and status.group(1) not in ("0", "4"):
        return True
    return _RELAY.search(words) is not None or _POLICY.search(words) is not None
