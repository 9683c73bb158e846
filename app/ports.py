"""The interfaces to other systems. The adapters are in `app/integrations`, the fakes in
`tests/support/fakes.py`."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

import msgspec

from app.json_types import JsonObject

ADDRESS_ERROR, MESSAGE_ERROR = "address", "letter"  # error classes that concern only one contact
UNCLEAR_PREFIX = "recipient_"  # a recipient was refused for an unclear reason


class Clock(Protocol):
    """The offset of the engine's clock from the database's. Only tests set it, to skip a wait of a day."""

    offset: timedelta


class Email(msgspec.Struct, frozen=True, kw_only=True):
    """An outbound email. `key` is the idempotency key, the same for every attempt; `copies` are further
    recipients of the same message. `unsubscribe` are the URLs (https first, then mailto) for one-click
    unsubscribing; empty for transactional emails."""

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
    """An outbound SMS or chat message. `to` is a phone number or a channel."""

    channel: Literal["sms", "chat"]
    to: str
    text: str
    key: str
    account_id: str


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An outbound HTTP call. `key` is sent as `Idempotency-Key`. With `keep`, the whole JSON response is
    parsed and stored, as `body` of the outcome's detail."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: str
    key: str
    keep: bool = False


class Sent(msgspec.Struct, frozen=True):
    """The message was sent; `detail` is the response. `answered` is false if there was no recipient, so no
    server was called."""

    detail: JsonObject = {}
    answered: bool = True


class Refused(msgspec.Struct, frozen=True):
    """The message was not sent. `permanent`: retrying is useless. `after`: the server's Retry-After in
    seconds. `error_class`: one word, the same for all effects with this error. `answered` is false if no
    server was called, because the message itself is invalid."""

    error: str
    permanent: bool
    after: float | None = None
    error_class: str = ""
    answered: bool = True


class Unknown(msgspec.Struct, frozen=True):
    """The message may have been sent: the call broke off after the server could have accepted it.
    `error_class` as in `Refused`."""

    error: str
    error_class: str = ""


CallOutcome = Sent | Refused | Unknown


class Mailer(Protocol):
    async def send(self, email: Email) -> CallOutcome: ...


class HttpClient(Protocol):
    async def call(self, request: HttpRequest) -> CallOutcome: ...


class MessageProvider(Protocol):
    """The service that delivers SMS and chat messages."""

    async def deliver(self, message: Message) -> CallOutcome: ...


# The tasks of `jobs/settings.py` that work in turns.
TurnName: TypeAlias = Literal["match", "advance", "send", "schedules", "jobs"]


class QueueDepth(msgspec.Struct, frozen=True):
    """How many turns of a task wait in Redis and how many run, of all accounts."""

    queued: int
    running: int


class Enqueue(Protocol):
    """Enqueues turns of an account. It never raises: without the job, a sweep finds the work."""

    async def __call__(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn unless one is waiting. False when Redis did not answer."""

    async def for_certain(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn, also beside those that are waiting: they may be lost. False when Redis did not
        answer."""

    async def beside(self, task: TurnName, account_id: UUID) -> bool:
        """Enqueues a turn beside those that run. False when Redis did not answer."""

    async def turn(self, task: TurnName, account_id: UUID, slot: int, turn: int, hops: int = 0) -> bool:
        """Enqueues one turn by its number, which a process that has its turns of the account passes on,
        `hops` times at most. False when Redis did not answer."""

    async def depths(self) -> dict[TurnName, QueueDepth] | None:
        """What waits and runs, by task; None when Redis did not answer."""

    async def close(self) -> None: ...
