"""Limits sign-in attempts without letting an attacker lock out a member.

Too many attempts on one email from one network are refused; attempts on one email from many networks are only
slowed down. A network is counted before the body of its request is read (`before_body`), an email after
that."""

import asyncio

from litestar.exceptions import TooManyRequestsException
from redis.asyncio import Redis

from app.credentials import digest
from app.web.middleware import client_of
from app.web.rate_limit import Limiter, RedisBreaker

WINDOW = 600.0
PER_PAIR, PER_NETWORK, PER_ADDRESS = 10, 60, 50
WAIT_SECONDS = 1.5


class Throttle:
    """Counts attempts by email and network, by network, and by email."""

    def __init__(
        self, redis: Redis | None, breaker: RedisBreaker | None = None, pair: int = PER_PAIR
    ) -> None:
        self.pairs = Limiter(redis, "sign-in", pair, WINDOW, breaker)
        self.networks = Limiter(redis, "sign-in-network", PER_NETWORK, WINDOW, breaker)
        self.addresses = Limiter(redis, "sign-in-address", PER_ADDRESS, WINDOW, breaker)

    async def check_network(self, network: str) -> None:
        """Counts one attempt of a network, whatever is in the body. Raises 429 with `Retry-After`."""
        await _check_limit(self.networks, client_of(network))

    async def check(self, email: str, network: str) -> None:
        """Counts one attempt, whether or not a user has the email. Raises 429 with `Retry-After`."""
        name = digest(email).hex()[:24]
        await _check_limit(self.pairs, f"{name}:{client_of(network)}")
        if not (await self.addresses.hit(name)).allowed:
            await asyncio.sleep(WAIT_SECONDS)


async def _check_limit(limiter: Limiter, key: str) -> None:
    verdict = await limiter.hit(key)
    if not verdict.allowed:
        raise TooManyRequestsException(
            f"Too many attempts. Wait {verdict.retry_after} seconds, then try again.",
            headers={"Retry-After": str(verdict.retry_after)},
        )
