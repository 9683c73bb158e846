"""Signing in slowly for who guesses. Nobody can lock somebody else out: one network's guesses at an
address are refused, guesses from many networks only wait."""

import asyncio
from typing import Any

from litestar.exceptions import TooManyRequestsException

from app.credentials import digest
from app.web.limits import Breaker, Limiter

WINDOW = 600.0
PER_PAIR, PER_NETWORK, PER_ADDRESS = 10, 60, 50
WAIT_SECONDS = 1.5


class Throttle:
    """Counts tries by address and network, by network, and by address."""

    def __init__(self, redis: Any, breaker: Breaker | None = None, pair: int = PER_PAIR) -> None:
        self.pairs = Limiter(redis, "sign-in", pair, WINDOW, breaker)
        self.networks = Limiter(redis, "sign-in-network", PER_NETWORK, WINDOW, breaker)
        self.addresses = Limiter(redis, "sign-in-address", PER_ADDRESS, WINDOW, breaker)

    async def check(self, email: str, network: str) -> None:
        """Counts one try. Raises 429 with `Retry-After`; the same whether the address is known or not."""
        name = digest(email).hex()[:24]
        for limiter, key in ((self.pairs, f"{name}:{network}"), (self.networks, network)):
            verdict = await limiter.hit(key)
            if not verdict.allowed:
                raise TooManyRequestsException(
                    f"Too many tries. Wait {verdict.retry_after} seconds, then try again.",
                    headers={"Retry-After": str(verdict.retry_after)},
                )
        if not (await self.addresses.hit(name)).allowed:
            await asyncio.sleep(WAIT_SECONDS)
