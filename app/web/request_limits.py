"""How often an account may call (429). Scripts can't use up what its people need.

A call counts against the limit of its account. A call with an Authorization header is a script's: it also
counts against the limit of its token, and against the share of the account that all scripts have together.
`RequestLimits.count` is the entry point."""

import msgspec
from litestar.exceptions import TooManyRequestsException
from litestar.types import Scope
from redis.asyncio import Redis

from app.settings import Settings
from app.web import content_negotiation
from app.web.metrics import LIMITED
from app.web.rate_limit import Limiter, RedisBreaker, headers_of, hit_all
from app.work import Caller

SHARE_OF_SCRIPTS = 0.8  # the rest of the account's limit is left to people
SHARE_OF_TOKEN = 0.5  # unless RATE_LIMIT_PER_TOKEN is set
WINDOW = 60.0
CALLERS = {
    "account": "This account",
    "scripts": "All scripts of this account together",
    "token": "This token",
}


class RequestLimits(msgspec.Struct, frozen=True):
    """The limits of an account, of all its scripts, and of each token or session that a script uses."""

    account: Limiter
    scripts: Limiter
    token: Limiter

    def charges(self, caller: Caller, *, is_script: bool) -> list[tuple[Limiter, str]]:
        """The limits that a call counts against, the narrowest first."""
        account = str(caller.account_id)
        if not is_script:
            return [(self.account, account)]
        return [
            (self.token, str(caller.credential_id)),
            (self.scripts, account),
            (self.account, account),
        ]

    async def count(self, scope: Scope, caller: Caller) -> None:
        """Counts a call. Raises 429 when it is over a limit."""
        is_script = bool(content_negotiation.header(scope, b"authorization"))
        charges = self.charges(caller, is_script=is_script)
        limiters = [limiter for limiter, _ in charges]
        decisions = list(zip(limiters, await hit_all(charges), strict=True))
        headers = headers_of(decisions)
        extra = scope["state"].setdefault("extra", [])
        extra.extend((name.lower().encode(), value.encode()) for name, value in headers.items())
        for limiter, decision in decisions:
            if not decision.allowed:
                LIMITED.labels(limiter.name).inc()
                raise TooManyRequestsException(
                    f"{CALLERS[limiter.name]} can make {limiter.limit} requests in {limiter.window:g} "
                    f"seconds. Try again in {headers['Retry-After']} s."
                )


def request_limits(settings: Settings, redis: Redis | None, breaker: RedisBreaker) -> RequestLimits:
    """The limits that the settings name."""
    most = settings.rate_limit_per_minute
    per_token = settings.rate_limit_per_token or max(1, int(most * SHARE_OF_TOKEN))
    return RequestLimits(
        Limiter(redis, "account", most, WINDOW, breaker),
        Limiter(redis, "scripts", max(1, int(most * SHARE_OF_SCRIPTS)), WINDOW, breaker),
        Limiter(redis, "token", per_token, WINDOW, breaker),
    )
