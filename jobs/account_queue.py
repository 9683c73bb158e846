"""Accounts that wait in this process for a turn of one task: first in, first out, each at most once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from jobs.turns import AccountTurns


class AccountQueue:
    """After its turn an account goes to the back of the queue, so accounts take turns. `run_turn` is called
    for one account at a time in each `serve` loop."""

    def __init__(self, turns: AccountTurns, run_turn: Callable[[UUID], Awaitable[None]]) -> None:
        self.turns, self.run_turn = turns, run_turn
        self._waiting: asyncio.Queue[UUID] = asyncio.Queue()
        self._waiting_accounts: set[UUID] = set()

    def add(self, accounts: Iterable[UUID]) -> None:
        """Adds accounts that may have another turn now; the running turns of the others look once more."""
        for account in accounts:
            if account not in self._waiting_accounts and self.turns.admits(account):
                self._waiting_accounts.add(account)
                self._waiting.put_nowait(account)

    async def serve(self) -> None:
        """Runs turn after turn, until it is canceled between two of them."""
        while True:
            account = await self._waiting.get()
            self._waiting_accounts.discard(account)
            if self.turns.admits(account):
                await self.run_turn(account)
