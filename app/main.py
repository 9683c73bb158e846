"""The web server, from top to bottom."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import structlog
from litestar import Litestar
from litestar.di import Provide
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.accounts.controllers import AccountController
from app.audit.controllers import audit
from app.cli import Commands
from app.health.controllers import HealthController, metrics
from app.home.controllers import overview
from app.people.controllers import MemberController, PasswordController, TokenController, roles
from app.ports import Letter
from app.runtime import Runtime, open_runtime
from app.sessions.controllers import SessionController, SignInController
from app.sessions.demo import PEOPLE
from app.sessions.directory import Principals
from app.sessions.throttle import Throttle
from app.settings import Settings
from app.web.assemble import assemble
from app.web.logs import configure
from app.web.negotiate import Request
from app.work import Principal, Work, open_work
from db.directory import Directory
from db.engine import refuse_strong_role

log = structlog.get_logger(__name__)

ROUTES: list[Any] = [
    overview,
    SignInController,
    SessionController,
    MemberController,
    roles,
    TokenController,
    PasswordController,
    AccountController,
    audit,
    HealthController,
    metrics,
]


def create_app(settings: Settings | None = None, runtime: Runtime | None = None) -> Litestar:
    """The app with everything it needs; `runtime` is given by tests only."""
    settings = settings or Settings.from_env()
    configure(settings.log_format, settings.log_level)
    runtime = runtime or open_runtime(settings)
    directory = Directory(runtime.engine)
    return assemble(
        settings,
        ROUTES,
        directory=Principals(directory),
        redis=runtime.redis,
        database_probe=probe_of(runtime),
        dependencies={"work": Provide(provide_work)},
        state={
            "runtime": runtime,
            "directory": directory,
            "throttle": Throttle(runtime.redis),
            "open_work": opener(runtime),
            "post": poster(runtime),
            "demo_people": PEOPLE if settings.demo else [],
        },
        lifespan=[lifespan],
        plugins=[Commands()],
    )


async def provide_work(request: Request) -> AsyncIterator[Work]:
    """The work of a signed-in request; a handler that does not commit leaves nothing behind."""
    me = request.principal
    runtime: Runtime = request.app.state.runtime
    request_id = request.scope["state"].get("request_id")
    async with open_work(runtime, me.account_id, me.actor, principal=me, request_id=request_id) as work:
        yield work


def opener(runtime: Runtime) -> Any:
    """Opens work for somebody who is about to be signed in."""

    def opened(me: Principal) -> AbstractAsyncContextManager[Work]:
        return open_work(runtime, me.account_id, me.actor, principal=me)

    return opened


def poster(runtime: Runtime) -> Any:
    """Sends a mail of our own (invitations, password links)."""

    async def post(recipient: str, subject: str, body: str) -> None:
        letter = Letter(recipient=recipient, subject=subject, body=body, key="", account_id="")
        outcome = await runtime.mailer.send(letter)
        log.info("mail.posted", outcome=type(outcome).__name__)

    return post


def probe_of(runtime: Runtime) -> Any:
    """Asks the database whether it answers."""

    async def probe() -> None:
        async with runtime.engine.connect() as connection:
            await connection.execute(text("select 1"))

    return probe


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Refuses a database role that row security does not bind; closes the pools at the end."""
    runtime: Runtime = app.state.runtime
    try:
        async with runtime.engine.connect() as connection:
            await refuse_strong_role(connection)
    except (DBAPIError, OSError) as error:
        log.warning("database.unreachable", error=type(error).__name__)
    yield
    await runtime.close()
