"""Sends email through SMTP: plain text, with the idempotency key in two headers."""

import asyncio
import re
from collections.abc import Sequence
from email.errors import MessageError
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import Policy, default
from email.utils import formatdate, parseaddr
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import aiosmtplib
from aiosmtplib.errors import (
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from app.email_addresses import mailable, normalize_email
from app.integrations.smtp_replies import class_of
from app.ports import ADDRESS_ERROR, MESSAGE_ERROR, CallOutcome, Email, Refused, Sent, Unknown

TIMEOUT = 10.0  # seconds for one response
STAGE_SECONDS = 20.0  # seconds for all responses before the message, and again for the message
_LINE_BREAK = re.compile(r"[\r\n\x00]")
_KEY = re.compile(r"[^A-Za-z0-9._-]")
WITHOUT_SMTPUTF8 = (
    "The mail server can't send to “{}”: before the @ it takes only letters from a to z (it doesn't offer "
    "SMTPUTF8). Use another address of this contact, or a mail server that does."
)


class WholeHeader(UnstructuredHeader, BaseHeader):
    """A header that is an address or a key. The standard library breaks long ones into encoded words (RFC
    2047), which no mail program reads as an address: these headers stay on one line of at most 998
    characters."""

    max_count = 1

    def fold(self, *, policy: "Policy[Any]") -> str:  # Any: as in the standard library
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
for _name in ("List-Unsubscribe", "Message-ID", "X-Switchyard-Key"):
    _HEADERS.map_to_type(_name, WholeHeader)
POLICY = default.clone(header_factory=_HEADERS)


class Unsendable(ValueError):
    """An email that must not reach any server; the message says what is wrong with it."""


class SmtpMailer:
    """`url` is smtp://[user:password@]host:port, or smtps:// for TLS from the start; `sender` is the From
    address, whose name an email may replace."""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 25
        self.tls = parts.scheme == "smtps"
        self.user = unquote(parts.username) if parts.username else None
        self.password = unquote(parts.password) if parts.password else None
        self.sender = sender

    async def send(self, email: Email) -> CallOutcome:
        """The outcome of one email. A 5xx response is permanent at every stage. Any other failure before the
        data was sent can be retried; a connection that breaks after it leaves the effect in doubt."""
        try:
            message = compose(email, self.sender)
            content = message.as_bytes()
        except UnicodeError:
            reason = f"The domain of “{', '.join(_recipients_of(email))}” isn't valid."
            return Refused(reason, permanent=True, error_class=ADDRESS_ERROR, answered=False)
        except (MessageError, ValueError) as error:
            reason = f"The email can't be sent: {error}"
            return Refused(reason, permanent=True, error_class=MESSAGE_ERROR, answered=False)
        client = aiosmtplib.SMTP(
            hostname=self.host, port=self.port, timeout=TIMEOUT, use_tls=self.tls, local_hostname="switchyard"
        )
        try:
            async with asyncio.timeout(STAGE_SECONDS):
                await client.connect()
                if self.user is not None and self.password is not None:
                    await client.login(self.user, self.password)
                refusal = await _envelope(client, parseaddr(self.sender)[1], email)
        except SMTPRecipientRefused as error:
            return _refused(client, error, recipient=True)
        except SMTPResponseException as error:
            return _refused(client, error)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            reason = f"The mail server can't be reached: {_reply_text(error)}"
            return Refused(reason, permanent=False, error_class="unreachable")
        return refusal or await _data(client, content, str(message["Message-ID"]))


async def _envelope(client: aiosmtplib.SMTP, sender: str, email: Email) -> Refused | None:
    """Names the sender and the recipients; a refusal if the server can't take such addresses."""
    recipients = [mailable(recipient) for recipient in _recipients_of(email)]
    options = []
    if _beyond_ascii(email):
        await client.ehlo()
        if not client.supports_extension("smtputf8"):
            client.close()
            reason = WITHOUT_SMTPUTF8.format(", ".join(recipients))
            return Refused(reason, permanent=True, error_class=ADDRESS_ERROR)
        options = ["SMTPUTF8"]
    await client.mail(sender, options=options)
    await _recipients(client, recipients)
    return None


async def _recipients(client: aiosmtplib.SMTP, recipients: Sequence[str]) -> None:
    """Adds the recipients; a refused one does not stop the others. Raises the last refusal when none is
    left."""
    accepted, refusal = 0, None
    for recipient in recipients:
        try:
            await client.rcpt(recipient, encoding="utf-8")
            accepted += 1
        except SMTPResponseException as error:
            refusal = error
    if refusal is not None and not accepted:
        raise refusal


async def _data(client: aiosmtplib.SMTP, content: bytes, message_id: str) -> CallOutcome:
    """Sends the message. From here on a broken connection may have been a delivery."""
    try:
        async with asyncio.timeout(STAGE_SECONDS):
            answer = await client.data(content)
    except SMTPResponseException as error:
        if error.code < 400:  # a response without meaning
            client.close()
            return Unknown(f"The mail server answered {error.code}.", error_class="no_answer")
        return _refused(client, error, message=True)
    except (SMTPException, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        client.close()
        message = f"The connection broke while the mail server was accepting the email: {_reply_text(error)}"
        return Unknown(message, error_class="no_answer")
    try:
        await client.quit()
    except (SMTPException, OSError, TimeoutError):
        client.close()
    return Sent({"code": answer.code, "answer": _clean(answer.message)[:500], "message_id": message_id})


def _refused(
    client: aiosmtplib.SMTP, error: SMTPResponseException, *, recipient: bool = False, message: bool = False
) -> Refused:
    """5xx is permanent at every stage; everything else may be retried."""
    client.close()
    text = _clean(str(error.message))[:500]
    error_class = class_of(error.code, text, recipient=recipient, message=message)
    return Refused(
        f"The mail server said {error.code} {text}", permanent=error.code >= 500, error_class=error_class
    )


def _reply_text(error: BaseException) -> str:
    if isinstance(error, SMTPTimeoutError):
        return f"no answer within {TIMEOUT:.0f} seconds"
    if isinstance(error, TimeoutError):
        return f"it took longer than {STAGE_SECONDS:.0f} seconds"
    if isinstance(error, SMTPServerDisconnected):
        return "the server hung up"
    return _clean(str(error))[:300] or type(error).__name__


def _clean(text: str) -> str:
    """The server's text in a form that the database accepts: bytes that are not UTF-8 arrive as
    surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")


def compose(email: Email, sender: str) -> EmailMessage:
    """The message as it is sent. Raises Unsendable for a line break in a header."""
    name, address = parseaddr(sender)
    recipients = _recipients_of(email)
    for header in (*recipients, email.subject, email.sender, email.reply_to, email.key, *email.unsubscribe):
        if _LINE_BREAK.search(header):
            _refuse("a header contains a line break.")
    for recipient in recipients:
        if "@" not in recipient:
            _refuse(f"“{recipient[:80]}” isn't a valid email address.")
    message = EmailMessage(POLICY.clone(utf8=True) if _beyond_ascii(email) else POLICY)
    message["From"] = Address(email.sender or name, addr_spec=address)
    message["To"] = [_address(recipient) for recipient in recipients]
    message["Subject"] = email.subject
    if email.reply_to:
        message["Reply-To"] = mailable(email.reply_to) if normalize_email(email.reply_to) else email.reply_to
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{_KEY.sub('.', email.key)}@{address.partition('@')[2] or 'switchyard'}>"
    message["X-Switchyard-Key"] = email.key
    message["X-Switchyard-Account"] = email.account_id
    message["Auto-Submitted"] = "auto-generated"
    if email.unsubscribe:
        message["List-Unsubscribe"] = ", ".join(f"<{address}>" for address in email.unsubscribe)
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(email.body)
    return message


def _recipients_of(email: Email) -> tuple[str, ...]:
    return (email.recipient, *email.copies)


def _address(recipient: str) -> Address:
    """`Address(addr_spec=…)` refuses some that exist: a..b@docomo.ne.jp, zoë@example.com."""
    name, _, domain = mailable(recipient).rpartition("@")
    return (
        Address(username=name, domain=domain) if normalize_email(recipient) else Address(addr_spec=recipient)
    )


def _beyond_ascii(email: Email) -> bool:
    """Whether an address has letters beyond ASCII before the @, so that servers need SMTPUTF8 for it."""
    return not all(
        address.rpartition("@")[0].isascii() for address in (*_recipients_of(email), email.reply_to)
    )


def _refuse(why: str) -> NoReturn:
    raise Unsendable(why)
