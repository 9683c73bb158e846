"""The web server: `create_app` builds the app from the routes and their dependencies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from litestar import Litestar
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException
from litestar.types import ControllerRouterHandler
from sqlalchemy.exc import DBAPIError

from app.account_places import CONNECTION_WAIT_SECONDS, AccountPlaces
from app.accounts.controllers import AccountController
from app.approvals.controllers import ApprovalController
from app.audit.controllers import audit
from app.cli import Commands
from app.contacts.address_controllers import AddressController
from app.contacts.controllers import ContactController, UndoController
from app.contacts.filter_controllers import ContactFilterController
from app.enrollments.controllers import (
    EffectController,
    EnrollmentController,
    EnterController,
    WhyController,
    WorkflowEnrollmentController,
)
from app.fields.controllers import FieldController
from app.health.controllers import HealthController, metrics
from app.health.worker_health import turn_counts_probe, worker_health_probe
from app.home.controllers import overview
from app.imports.controllers import ImportController
from app.inbound_webhooks.controllers import DeliveryController, WebhookEndpointController
from app.mailbox.controllers import MailboxController
from app.members.controllers import MemberController, PasswordController, TokenController, roles
from app.members.invitation_controllers import AcceptController, InvitationController
from app.notes.controllers import NoteController
from app.notifications.controllers import NotificationController
from app.operations.controllers import BreakerController, JobController
from app.permissions import Permission
from app.runtime import Runtime, open_runtime, tune_garbage_collection
from app.segments.controllers import SegmentController
from app.sessions.controllers import SessionController, SignInController
from app.sessions.demo import PEOPLE
from app.sessions.principals import Principals
from app.sessions.throttle import Throttle
from app.settings import Settings
from app.tags.controllers import TagController
from app.tasks.controllers import TaskController
from app.unsubscribe.controllers import UnsubscribeController
from app.web.app_factory import build_app
from app.web.logs import configure
from app.web.metrics import CATALOG_READS
from app.web.paging import read_paging
from app.web.rate_limit import Limiter, RedisBreaker, open_redis
from app.web.recent_counts import RecentCounts
from app.web.request import Request
from app.web.request_work import request_work
from app.web.tracing import start_tracing
from app.work import Principal, Work
from app.workflows.controllers import ROUTES as WORKFLOWS
from db.auth_lookup import AuthLookup
from db.connection import open_engine, ping, refuse_strong_role
from db.pool import record_connections, share_of
from db.queries.inbound_deliveries import find_webhook_by_token
from db.queries.notifications import count_waiting

log = structlog.get_logger(__name__)
# Objects. A page leaves some in cycles; looking for them at the usual rate takes 0.4 ms of each page.
BETWEEN_COLLECTIONS = 10_000

ROUTES: list[ControllerRouterHandler] = [
    overview,
    ContactController,
    AddressController,
    UndoController,
    ContactFilterController,
    TagController,
    FieldController,
    SegmentController,
    NoteController,
    TaskController,
    SignInController,
    SessionController,
    MemberController,
    InvitationController,
    AcceptController,
    roles,
    TokenController,
    PasswordController,
    AccountController,
    audit,
    WorkflowEnrollmentController,
    EnrollmentController,
    EnterController,
    WhyController,
    ApprovalController,
    NotificationController,
    JobController,
    BreakerController,
    EffectController,
    MailboxController,
    ImportController,
    *WORKFLOWS,
    WebhookEndpointController,
    DeliveryController,
    UnsubscribeController,
    HealthController,
    metrics,
]


def create_app(settings: Settings | None = None, runtime: Runtime | None = None) -> Litestar:
    """The app, with settings from the environment; only tests pass `runtime`."""
    settings = settings or Settings.from_env()
    configure(settings.log_format, settings.log_level)
    start_tracing(settings.otel_exporter_otlp_endpoint)
    runtime = runtime or open_runtime(settings, pool_wait_seconds=CONNECTION_WAIT_SECONDS)
    CATALOG_READS.reads = runtime.catalogs.reads
    directory = AuthLookup(runtime.engine)
    places = AccountPlaces(settings.heavy_queries_per_account, share_of(runtime.engine))
    counter = open_redis(settings.redis_url)  # counts requests; gives up after a tenth of a second
    breaker = RedisBreaker()
    return build_app(
        settings,
        ROUTES,
        directory=Principals(runtime, directory, places),
        redis=counter,
        breaker=breaker,
        database_probe=partial(ping, runtime.engine),
        connect_probe=partial(ping, open_engine(settings.database_url, 0)),
        dependencies={
            "work": Provide(provide_work),
            "paging": Provide(read_paging, sync_to_thread=False),
        },
        state={
            "runtime": runtime,
            "places": places,
            "record_pool": partial(record_connections, runtime.engine),
            "pulse": worker_health_probe(runtime),
            "turn_counts": turn_counts_probe(runtime),
            "directory": directory,
            "throttle": Throttle(counter, breaker),
            "recent_counts": RecentCounts(),
            "counter": counter,
            "webhook_by_token": partial(find_webhook_by_token, runtime.engine),
            "hook_limiter": Limiter(counter, "hook", settings.rate_limit_per_minute, 60, breaker),
            "demo_people": PEOPLE if settings.demo else [],
        },
        lifespan=[lifespan],
        plugins=[Commands()],
    )


async def provide_work(request: Request) -> AsyncIterator[Work]:
    """Provides the unit of work of a signed-in request; it is rolled back unless the handler commits. Raises
    401 on public routes."""
    me = request.principal
    if me is None:
        raise NotAuthorizedException("Sign in first.")
    member, counts = (me.account_id, me.user_id), request.app.state.recent_counts
    async with request_work(request, me) as work:
        if request.method != "GET":
            counts.forget(member)
        elif request.wants_html and not request.wants_partial:
            request.scope["state"]["counts"] = await counts.get(member, partial(waiting_for, work, me))
        yield work
        if request.method != "GET":
            counts.forget(member)


async def waiting_for(work: Work, me: Principal) -> dict[str, int]:
    """The counts in the navigation: open approvals and unread notifications of this member, up to 100
    each."""
    may_manage = work.may(Permission.MANAGE_ENROLLMENTS)
    waiting = await count_waiting(work.session, me.user_id, manages=may_manage)
    return {"approvals": waiting.approvals, "notifications": waiting.notifications}


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Refuses to start with a database role that bypasses row-level security; closes the pools at the end."""
    runtime: Runtime = app.state.runtime
    try:
        async with runtime.engine.connect() as connection:
            await refuse_strong_role(connection)
    except (DBAPIError, OSError) as error:
        log.warning("database.unreachable", error=type(error).__name__)
    tune_garbage_collection(BETWEEN_COLLECTIONS)
    yield
    await app.state.counter.aclose()
    await runtime.close()
