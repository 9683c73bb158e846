"""How much of the database one account may use at a time, so that no account slows another.

A request takes a place for its connection, and a heavy one first a place for heavy queries (`turn`). Requests
without a place wait in this process, in order, and hold no connection of the pool. Across processes a heavy
request then claims one of the same few places in PostgreSQL (`claim`); PostgreSQL frees it with the
transaction, also when the process dies. A request that commits or rolls back keeps only its place in this
process. Scripts leave one place to people, if there is more than one. A request that gets no place in time
is refused with 503."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
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
GiveBack: TypeAlias = Callable[[], None]
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

    def is_free(self, *, script: bool) -> bool:
        """Whether `take` returns at once."""
        return not self.places.locked() and not (script and self.scripts.locked())

    async def take(self, *, script: bool) -> None:
        """Waits for a place."""
        if script:
            await self.scripts.acquire()
        try:
            await self.places.acquire()
        except BaseException:
            if script:
                self.scripts.release()
            raise

    def give_back(self, *, script: bool) -> None:
        """Frees a place."""
        self.places.release()
        if script:
            self.scripts.release()


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

    async def take(self, account_id: AccountKey, *, script: bool = False) -> GiveBack:
        """Waits for a place of the account; returns what frees it. Raises `Unavailable` when none gets free
        in time."""
        line = self._accounts.get(account_id)
        if line is None:
            line = self._accounts[account_id] = _Line(self.places)
        started_at = perf_counter()
        try:
            async with asyncio.timeout(None if line.is_free(script=script) else self.wait_seconds):
                await line.take(script=script)
        except TimeoutError:
            self._refused.inc()
            raise Unavailable(self._refusal) from None
        self._waits.observe(perf_counter() - started_at)
        return partial(line.give_back, script=script)

    @asynccontextmanager
    async def place(self, account_id: AccountKey, *, script: bool = False) -> AsyncIterator[None]:
        """Holds a place of the account. Raises `Unavailable` when none gets free in time."""
        give_back = await self.take(account_id, script=script)
        try:
            yield
        finally:
            give_back()


class Turn:
    """The places that one request holds. It may give them back while it waits for another request."""

    def __init__(self, queues: Sequence[PlaceQueue], account_id: AccountKey, *, script: bool) -> None:
        self._queues, self._account_id, self._script = queues, account_id, script
        self._held: list[GiveBack] = []

    async def take(self) -> None:
        """Waits for the places, unless the request holds them. Raises `Unavailable` when none gets free in
        time."""
        if self._held:
            return
        try:
            for queue in self._queues:
                self._held.append(await queue.take(self._account_id, script=self._script))
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Frees the places. A second call does nothing."""
        while self._held:
            self._held.pop()()


class AccountPlaces:
    """The places of the accounts: `heavy` queries across processes, `connections` of this process."""

    def __init__(self, heavy: int, connections: int) -> None:
        self.heavy = PlaceQueue("heavy", heavy, HEAVY_WAIT_SECONDS, TOO_MANY_HEAVY)
        self.connections = PlaceQueue("connection", connections, CONNECTION_WAIT_SECONDS, TOO_MANY_REQUESTS)

    async def take_turn(self, account_id: AccountKey, *, heavy: bool, script: bool = False) -> Turn:
        """Takes what a request of the account needs in this process, until it is given back. Raises
        `Unavailable` when it does not get that in time."""
        queues = (self.heavy, self.connections) if heavy else (self.connections,)
        turn = Turn(queues, account_id, script=script)
        await turn.take()
        return turn

    @asynccontextmanager
    async def turn(self, account_id: AccountKey, *, heavy: bool, script: bool = False) -> AsyncIterator[None]:
        """As `take_turn`, for a block."""
        turn = await self.take_turn(account_id, heavy=heavy, script=script)
        try:
            yield
        finally:
            turn.give_back()

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
