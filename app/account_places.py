"""How much of the database one account may use at a time, so that no account slows another.

A request takes a place for its connection, and a heavy one first a place for heavy queries (`turn`). Requests
without a place wait in this process, in order, and hold no connection of the pool. Across processes a heavy
request then claims one of the same few places in PostgreSQL (`claim`); PostgreSQL frees it with the
transaction, also when the process dies. A request that commits or rolls back keeps only its place in this
process. Scripts leave one place to people, if there is more than one. A request that gets no place in time
is refused with 503."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Literal, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import Unavailable
from db.queries.heavy_places import take_heavy_place

AccountKey: TypeAlias = UUID | None  # None for all callers whose account is not known yet
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
    """What a request may use: whether it needs a place for heavy queries, how long a statement of it may
    take, and whether a script sent it."""

    heavy: bool
    statement_seconds: float
    script: bool = False


class _Line:
    """The free places of one account. A script first needs one of those for scripts, so that at most that
    many scripts are ahead of a person."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.scripts = asyncio.Semaphore(for_scripts(places))


def for_scripts(places: int) -> int:
    """How many of the places scripts may hold."""
    return max(1, places - 1)


class PlaceQueue:
    """The places of each account in this process. Waiting requests get them in order."""

    def __init__(
        self, name: Literal["heavy", "connection"], places: int, wait_seconds: float, refusal: str
    ) -> None:
        self.places, self.wait_seconds = places, wait_seconds
        self._refusal = refusal
        self._waits, self._refused = WAITS.labels(name), REFUSED.labels(name)
        self._accounts: WeakValueDictionary[AccountKey, _Line] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, account_id: AccountKey, *, script: bool = False) -> AsyncIterator[None]:
        """Holds a place of the account. Raises `Unavailable` when none gets free in time."""
        line = self._accounts.get(account_id)
        if line is None:
            line = self._accounts[account_id] = _Line(self.places)
        started_at = perf_counter()
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self.wait_seconds):
                    if script:
                        await held.enter_async_context(line.scripts)
                    await held.enter_async_context(line.places)
            except TimeoutError:
                self._refused.inc()
                raise Unavailable(self._refusal) from None
            self._waits.observe(perf_counter() - started_at)
            yield


class Turn:
    """The places that one request holds. It may give them back while it waits for another request."""

    def __init__(self, places: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._places = places
        self._held: AsyncExitStack | None = None

    async def take(self) -> None:
        """Waits for the places, unless the request holds them. Raises `Unavailable` when none gets free in
        time."""
        if self._held is None:
            held = AsyncExitStack()
            await held.enter_async_context(self._places())
            self._held = held

    async def give_back(self) -> None:
        """Frees the places. A second call does nothing."""
        held, self._held = self._held, None
        if held is not None:
            await held.aclose()


class AccountPlaces:
    """The places of the accounts: `heavy` queries across processes, `connections` of this process."""

    def __init__(self, heavy: int, connections: int) -> None:
        self.heavy = PlaceQueue("heavy", heavy, HEAVY_WAIT_SECONDS, TOO_MANY_HEAVY)
        self.connections = PlaceQueue("connection", connections, CONNECTION_WAIT_SECONDS, TOO_MANY_REQUESTS)

    @asynccontextmanager
    async def turn(self, account_id: AccountKey, *, heavy: bool, script: bool = False) -> AsyncIterator[None]:
        """Holds what a request of the account needs in this process. Raises `Unavailable` when it does not
        get that in time."""
        async with AsyncExitStack() as held:
            if heavy:
                await held.enter_async_context(self.heavy.place(account_id, script=script))
            await held.enter_async_context(self.connections.place(account_id, script=script))
            yield

    async def take_turn(self, account_id: AccountKey, *, heavy: bool, script: bool = False) -> Turn:
        """As `turn`, until it is given back."""
        turn = Turn(partial(self.turn, account_id, heavy=heavy, script=script))
        await turn.take()
        return turn

    async def claim(self, session: AsyncSession, *, script: bool = False) -> None:
        """Takes a place for heavy queries, shared by all processes, until the transaction ends. Between two
        attempts the connection goes back to the pool. Raises `Unavailable` when none gets free in time."""
        places = self.heavy.places
        order = range(1, for_scripts(places) + 1) if script else range(places, 0, -1)
        started_at = perf_counter()
        pause = FIRST_PAUSE
        while not await take_heavy_place(session, order):
            await session.rollback()
            if perf_counter() - started_at + pause > self.heavy.wait_seconds:
                REFUSED.labels("shared").inc()
                raise Unavailable(TOO_MANY_HEAVY)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        WAITS.labels("shared").observe(perf_counter() - started_at)
