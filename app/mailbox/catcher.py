"""The demo's mail server: accepts every message on loopback and stores it for the Mailbox screen.

`run` is the process `mailbox`: it serves this catcher by SMTP and `message_catcher` by HTTP."""

import asyncio
import signal
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import structlog
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.exc import SQLAlchemyError

from app.email_addresses import normalize_email
from app.json_types import JsonObject
from app.mailbox.message_catcher import serve_messages
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.web.logs import configure, hide_settings
from app.work import SYSTEM, open_work
from db.auth_lookup import AuthLookup
from db.ids import uuid7
from db.models import MailboxMessage

ACCOUNT_HEADER = "X-Switchyard-Account"
ACCEPTED = "250 Message accepted for delivery"
UNKNOWN = "550 5.1.1 No such address here"
TRY_LATER = "451 4.3.0 The mailbox cannot be written now, try again"
MOST_BYTES = 5_000_000
log = structlog.get_logger("switchyard.mailbox")


class MailCatcher:
    """Handler of aiosmtpd: one row per recipient, under the account that the message names."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.directory = AuthLookup(runtime.engine)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- its name
        """Answers 550 when no recipient belongs to an account, 451 when the database is unavailable."""
        message = message_from_bytes(_raw(envelope), policy=policy.default)
        stored = 0
        try:
            for recipient in dict.fromkeys(envelope.rcpt_tos):
                stored += await self.keep(message, envelope.mail_from or "", recipient)
        except (SQLAlchemyError, OSError) as error:
            log.warning("mailbox.unwritable", error=type(error).__name__)
            return TRY_LATER
        return ACCEPTED if stored else UNKNOWN

    async def keep(self, message: EmailMessage, sender: str, recipient: str) -> int:
        """Stores the copy of one recipient. Returns 1, or 0 when it belongs to no account."""
        account_id = await self.account_of(message, recipient)
        if account_id is None:
            return 0
        async with open_work(self.runtime, account_id, SYSTEM) as work:
            if not await work.accounts.exists():
                return 0
            work.session.add(row_of(message, sender, recipient, account_id))
            await work.commit()
        return 1

    async def account_of(self, message: EmailMessage, recipient: str) -> UUID | None:
        """The account in the header; without a header, the first account of the user with this address."""
        header = str(message.get(ACCOUNT_HEADER, "")).strip()
        if header:
            try:
                return UUID(header)
            except ValueError:
                return None
        address = normalize_email(recipient)
        user = await self.directory.user(address) if address else None
        return user.memberships[0].account_id if user and user.memberships else None


def row_of(message: EmailMessage, sender: str, recipient: str, account_id: UUID) -> MailboxMessage:
    """The row of a message. It has no NUL, which PostgreSQL can't store; a repeated header keeps both
    lines."""
    headers: JsonObject = {}
    for name, value in message.items():
        line = _clean(str(value))
        headers[name] = f"{headers[name]}\n{line}" if name in headers else line
    return MailboxMessage(
        id=uuid7(),
        account_id=account_id,
        message_id=_clean(str(message.get("Message-ID", ""))).strip(),
        sender=_clean(str(message.get("From", "")) or sender),
        recipient=_clean(recipient),
        subject=_clean(str(message.get("Subject", ""))),
        body=_clean(text_of(message)),
        headers=headers,
    )


def text_of(message: EmailMessage) -> str:
    """The text of a message: the plain part if there is one, else the HTML. Undecodable bytes are
    replaced."""
    part = message.get_body(("plain", "html"))
    if part is None:
        return ""
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError, KeyError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _raw(envelope: Envelope) -> bytes:
    content = envelope.content or b""
    return content.encode() if isinstance(content, str) else content


def _clean(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()


class Listener(UnthreadedController):
    """aiosmtpd on this event loop, on loopback only."""

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            hostname="localhost",
            data_size_limit=MOST_BYTES,
            enable_SMTPUTF8=True,
            loop=self.loop,
        )


async def serve(runtime: Runtime, port: int) -> asyncio.Server:
    """Listens on 127.0.0.1:`port` (0 chooses a free one) until the server is closed."""
    loop = asyncio.get_running_loop()
    listener = Listener(MailCatcher(runtime), hostname="127.0.0.1", port=port, loop=loop)
    # Not `Listener.begin`: it needs a loop that isn't running yet.
    return await loop.create_server(listener._factory_invoker, "127.0.0.1", port)  # noqa: SLF001 -- see above


async def run(settings: Settings) -> None:
    """Catches mail and messages until SIGTERM or SIGINT."""
    configure(settings.log_format, settings.log_level)
    hide_settings(settings)
    runtime = open_runtime(settings, pool_size=2)
    server = await serve(runtime, settings.mailbox_port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with serve_messages(runtime, settings.mailbox_http_port) as http_port:
            log.info("mailbox.ready", port=settings.mailbox_port, http_port=http_port)
            await stop.wait()
    finally:
        server.close()
        await runtime.close()
