"""Opens the unit of work of a request: in its turn, and with the limits of its kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app.account_places import AccountPlaces
from app.web.request import Request
from app.web.request_kinds import cost_of
from app.work import Actor, Principal, Work, open_work


@asynccontextmanager
async def request_work(request: Request, me: Principal) -> AsyncIterator[Work]:
    """The unit of work that `Authenticate` has opened, or another: after a large body, and for a page that
    shows a refused form again."""
    opened: Work | None = request.scope["state"].pop("work", None)
    if opened is None:
        async with open_request_work(request, me.account_id, me.actor, me) as work:
            yield work
        return
    try:
        cost = cost_of(request.scope)
        if cost.heavy:
            await request.app.state.places.claim(opened.session, script=cost.script)
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def open_request_work(
    request: Request, account_id: UUID, actor: Actor, principal: Principal | None = None
) -> AsyncIterator[Work]:
    """Opens a unit of work in one account, which is rolled back unless it commits. Waits while the account
    uses its share of this process or, for a heavy request, of the database; raises `Unavailable` when that
    takes too long."""
    state = request.app.state
    places: AccountPlaces = state.places
    cost = cost_of(request.scope)
    async with (
        places.turn(account_id, heavy=cost.heavy, script=cost.script),
        open_work(
            state.runtime,
            account_id,
            actor,
            principal=principal,
            request_id=request.scope["state"].get("request_id"),
            statement_seconds=cost.statement_seconds,
        ) as work,
    ):
        if cost.heavy:
            await places.claim(work.session, script=cost.script)
        yield work
