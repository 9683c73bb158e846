"""How much of the database one account may use at a time, so that no account slows another.

A request takes a place for its connection, and a heavy one first a place for heavy queries (`turn`). Requests
without a place wait in this process, in order, and hold no connection of the pool. Across processes a heavy
request then claims one of the same few places in PostgreSQL (`claim`); PostgreSQL frees it with the
transaction, also when the process dies. A request that gets no place in time is refused with 503."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Literal, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unavailable
from db.queries.heavy_places import take_heavy_place

AccountKey: TypeAlias = UUID | bytes  # the digest of an access token until its account is known
HEAVY_WAIT_SECONDS = 1.5
CONNECTION_WAIT_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.03, 0.2  # between two claims
TOO_MANY_HEAVY = (
    "This account is already running as many searches and bulk edits as it may at a time. "
    "Wait until they have finished, then try again."
)
TOO_MANY_REQUESTS = "This account has too many requests under way. Try again in a moment."

WAITS = Histogram(
    "switchyard_place_wait_seconds",
    "Time that requests waited for a place of their account: connection and heavy in this process, shared "
    "among all processes.",
    ["place"],
    buckets=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
REFUSED = Counter(
    "switchyard_place_refused", "Requests refused because their account had no place in time.", ["place"]
)


class RequestCost(msgspec.Struct, frozen=True):
    """What a request may use: whether it needs a place for heavy queries, and how long a statement of it may
    take."""

    heavy: bool
    statement_seconds: float


class PlaceQueue:
    """The places of each account in this process. Waiting requests get them in order."""

    def __init__(
        self, name: Literal["heavy", "connection"], places: int, wait_seconds: float, refusal: str
    ) -> None:
        self.places, self.wait_seconds = places, wait_seconds
        self._refusal = refusal
        self._waits, self._refused = WAITS.labels(name), REFUSED.labels(name)
        self._accounts: WeakValueDictionary[AccountKey, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, account_id: AccountKey) -> AsyncIterator[None]:
        """Holds a place of the account. Raises `Unavailable` when none gets free in time."""
        semaphore = self._accounts.get(account_id)
        if semaphore is None:
            semaphore = self._accounts[account_id] = asyncio.Semaphore(self.places)
        started_at = perf_counter()
        try:
            async with asyncio.timeout(self.wait_seconds):
                await semaphore.acquire()
        except TimeoutError:
            self._refused.inc()
            raise Unavailable(self._refusal) from None
        self._waits.observe(perf_counter() - started_at)
        try:
            yield
        finally:
            semaphore.release()


class AccountPlaces:
    """The places of the accounts: `heavy` queries across processes, `connections` of this process."""

    def __init__(self, heavy: int, connections: int) -> None:
        self.heavy = PlaceQueue("heavy", heavy, HEAVY_WAIT_SECONDS, TOO_MANY_HEAVY)
        self.connections = PlaceQueue("connection", connections, CONNECTION_WAIT_SECONDS, TOO_MANY_REQUESTS)

    @asynccontextmanager
    async def turn(self, account_id: AccountKey, *, heavy: bool) -> AsyncIterator[None]:
        """Holds what a request of the account needs in this process. Raises `Unavailable` when it does not
        get that in time."""
        if heavy:
            async with self.heavy.place(account_id), self.connections.place(account_id):
                yield
        else:
            async with self.connections.place(account_id):
                yield

    async def take_turn(self, account_id: AccountKey, *, heavy: bool) -> AsyncExitStack:
        """As `turn`, until the stack is closed."""
        stack = AsyncExitStack()
        await stack.enter_async_context(self.turn(account_id, heavy=heavy))
        return stack

    async def claim(self, session: AsyncSession) -> None:
        """Takes a place for heavy queries, shared by all processes, until the transaction ends. Between two
        attempts the connection goes back to the pool. Raises `Unavailable` when none gets free in time."""
        started_at = perf_counter()
        pause = FIRST_PAUSE
        while not await take_heavy_place(session, self.heavy.places):
            await session.rollback()
            if perf_counter() - started_at + pause > self.heavy.wait_seconds:
                REFUSED.labels("shared").inc()
                raise Unavailable(TOO_MANY_HEAVY)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        WAITS.labels("shared").observe(perf_counter() - started_at)
