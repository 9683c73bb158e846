"""The outside world, as the product sees it. Adapters: app/integrations. Fakes: tests/support/fakes.py."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol

import msgspec

ADDRESS_ERROR, MESSAGE_ERROR = (
    "address",
    "letter",
)  # classes of errors that are about one contact and nobody else
UNCLEAR_PREFIX = "recipient_"  # a recipient was refused, and why was not said


class Clock(Protocol):
    """Time is the database's; only tests set an offset, so that a wait of a day can pass at once."""

    offset: timedelta


class Email(msgspec.Struct, frozen=True, kw_only=True):
    """An e-mail as it leaves: `key` is the idempotency key, the same for every attempt; `copies` are further
    recipients of the very same message. `unsubscribe` are addresses (https first, then mailto) where the
    recipient unsubscribes with one click; empty for what must be delivered."""

    recipient: str
    subject: str
    body: str
    key: str
    account_id: str
    sender: str = ""
    reply_to: str = ""
    copies: Sequence[str] = ()
    unsubscribe: Sequence[str] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An SMS or a chat message as it leaves: `to` is a phone number or a channel."""

    channel: Literal["sms", "chat"]
    to: str
    text: str
    key: str
    account_id: str


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP call as it leaves; `key` goes out as `Idempotency-Key`. With `keep` an answer that is JSON is
    kept whole, parsed, as `body` of the detail."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: str
    key: str
    keep: bool = False


class Sent(msgspec.Struct, frozen=True):
    """It went out: what the other side said. Not `answered` where there was nobody it had to go to."""

    detail: dict[str, Any] = {}
    answered: bool = True


class Refused(msgspec.Struct, frozen=True):
    """It did not go out. `permanent` says that trying again is useless; `after` is the other side's
    wish in seconds. `what` is the class of the error, one word: the same for everybody it happens to. Not
    `answered` where it is about this one message, and no server was asked to take it."""

    error: str
    permanent: bool
    after: float | None = None
    what: str = ""
    answered: bool = True


class Unknown(msgspec.Struct, frozen=True):
    """It may have gone out: the call broke after it could have been taken. `what` as of `Refused`."""

    error: str
    what: str = ""


Outcome = Sent | Refused | Unknown


class Mailer(Protocol):
    async def send(self, letter: Email) -> Outcome: ...


class HttpClient(Protocol):
    async def call(self, call: HttpRequest) -> Outcome: ...


class MessageProvider(Protocol):
    """Who carries SMS and chat messages."""

    async def deliver(self, message: Message) -> Outcome: ...


class Enqueue(Protocol):
    """Rings the bell. Losing a ring costs at most one sweep; it never raises."""

    async def __call__(self, task: str, arguments: Mapping[str, Any]) -> None: ...

    async def close(self) -> None: ...
