"""The demo's SMS and chat provider: accepts messages by HTTP on loopback, for the Mailbox screen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Required, TypeAlias, TypedDict
from uuid import UUID

import msgspec
import structlog
import uvicorn
from msgspec import Meta
from sqlalchemy.exc import SQLAlchemyError

from app.runtime import Runtime
from app.work import SYSTEM, open_work
from db.ids import uuid7
from db.models import MailboxMessage

MOST_BYTES = 100_000
SENDER = "Switchyard"
log = structlog.get_logger("switchyard.mailbox")


class SmsMessage(msgspec.Struct, forbid_unknown_fields=True):
    to: Annotated[str, Meta(min_length=1)]
    body: str


class ChatMessage(msgspec.Struct, forbid_unknown_fields=True):
    channel: Annotated[str, Meta(min_length=1)]
    text: str


KINDS: dict[str, tuple[str, type[SmsMessage] | type[ChatMessage]]] = {
    "/sms/messages": ("sms", SmsMessage),
    "/chat/messages": ("chat", ChatMessage),
}


class AsgiScope(TypedDict):
    """What is read here of a request."""

    type: str
    path: str
    method: str
    headers: list[tuple[bytes, bytes]]


class AsgiMessage(TypedDict, total=False):
    """What is read or sent here of a message."""

    type: Required[str]
    body: bytes
    more_body: bool
    status: int
    headers: list[tuple[bytes, bytes]]


Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]


class MessageCatcher:
    """A bare ASGI app: POST /sms/messages and /chat/messages, as app/integrations/sms_chat.py calls them."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, sentence = await self.answer(scope, receive)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(b"content-type", b"application/json")],
            }
        )
        await send({"type": "http.response.body", "body": msgspec.json.encode({"said": sentence})})

    async def answer(self, scope: AsgiScope, receive: Receive) -> tuple[int, str]:
        """The status and message of the response: 202, 404, 405, 413, 422, or 503 when the message cannot be
        stored."""
        kind = KINDS.get(scope["path"])
        if kind is None:
            return 404, "Send messages to /sms/messages or /chat/messages."
        if scope["method"] != "POST":
            return 405, "Use POST here."
        body = await _read(receive)
        if body is None:
            return 413, f"Send at most {MOST_BYTES} bytes."
        try:
            message = msgspec.json.decode(body, type=kind[1])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return 422, f"The body can't be read: {error}"
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            stored = await self.keep(kind[0], message, headers)
        except (SQLAlchemyError, OSError) as error:
            log.warning("mailbox.unwritable", error=type(error).__name__)
            return 503, "The message can't be stored right now. Try again."
        return (202, "Accepted.") if stored else (422, "X-Switchyard-Account names no account.")

    async def keep(self, channel: str, message: SmsMessage | ChatMessage, headers: dict[str, str]) -> bool:
        """Stores a message in the account of the header; False when that account doesn't exist."""
        try:
            account_id = UUID(headers.get("x-switchyard-account", ""))
        except ValueError:
            return False
        to, text = (
            (message.to, message.body) if isinstance(message, SmsMessage) else (message.channel, message.text)
        )
        stored_headers = {name: value for name, value in headers.items() if name != "authorization"}
        async with open_work(self.runtime, account_id, SYSTEM) as work:
            if not await work.accounts.exists():
                return False
            work.session.add(
                MailboxMessage(
                    id=uuid7(),
                    account_id=account_id,
                    channel=channel,
                    message_id=headers.get("idempotency-key", ""),
                    sender=SENDER,
                    recipient=to.replace("\0", ""),
                    subject="",
                    body=text.replace("\0", ""),
                    headers=stored_headers,
                )
            )
            await work.commit()
        return True


async def _read(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        part = await receive()
        body += part.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not part.get("more_body"):
            return bytes(body)


class _Server(uvicorn.Server):
    """A server without signal handlers: the catcher handles signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_messages(runtime: Runtime, port: int) -> AsyncIterator[int]:
    """Listens on 127.0.0.1:`port` (0 chooses a free one) and yields the port."""
    config = uvicorn.Config(
        MessageCatcher(runtime),
        host="127.0.0.1",
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            raise OSError(f"Can't listen on port {port} of loopback.")
        await asyncio.sleep(0.02)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving
