"""Health probes for operators, and metrics for Prometheus."""

import asyncio
import hmac
import math
from collections.abc import Awaitable, Callable

import structlog
from litestar import Controller, Response, get
from litestar.exceptions import NotAuthorizedException, NotFoundException, PermissionDeniedException
from litestar.openapi.datastructures import ResponseSpec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.credentials import digest
from app.errors import Forbidden
from app.health.schemas import Live, Ready, Workers
from app.health.worker_health import CountedTurns, WorkerHealth
from app.permissions import Permission
from app.web.content_negotiation import header
from app.web.metrics import ENGINE_HELD, HEARTBEAT_AGE, REDIS_UP, TURNS, WORKERS_ALIVE
from app.web.request import Request
from app.web.tokens import BadToken

PATIENCE_SECONDS = 1.0
Probe = Callable[[], Awaitable[object]]
log = structlog.get_logger("switchyard.health")


class HealthController(Controller):
    path = "/health"
    tags = ("health",)

    @get("/live", public=True, foreign=True, sync_to_thread=False)
    def live(self) -> Live:
        """Answers while the process runs; checks nothing else."""
        return Live()

    @get(
        "/ready", public=True, foreign=True, responses={503: ResponseSpec(Ready, description="No database.")}
    )
    async def ready(self, request: Request) -> Response[Ready]:
        """200 when the server can handle requests, also without Redis (degraded); 503 without the
        database, and when the server is about to end."""
        state = request.app.state
        database, redis = await asyncio.gather(responds(state.database_probe), responds(state.redis_probe))
        REDIS_UP.set(1 if redis else 0)
        ending = bool(state.get("ending"))
        readiness = Ready(
            status="ending" if ending else "down" if not database else "ok" if redis else "degraded",
            database="ok" if database else "down",
            redis="ok" if redis else "down",
        )
        return Response(readiness, status_code=200 if database and not ending else 503)

    @get(
        "/workers",
        public=True,
        foreign=True,
        responses={503: ResponseSpec(Workers, description="No worker that works.")},
    )
    async def workers(self, request: Request) -> Response[Workers]:
        """200 while a worker runs; 503 when no worker runs, when the engine is held and workers do nothing,
        or when the database cannot be read."""
        health = await read_worker_health(request)
        if health is None:
            return Response(Workers("unknown", 0, None), status_code=503)
        working = health.alive > 0 and not health.held
        report = Workers(
            "ok" if working else "held" if health.alive else "silent",
            health.alive,
            health.seconds,
            health.held,
        )
        return Response(report, status_code=200 if working else 503)


async def read_worker_health(request: Request) -> WorkerHealth | None:
    """The health of the workers; also sets the metrics. None if the database does not answer in time."""
    try:
        health: WorkerHealth = await asyncio.wait_for(request.app.state.pulse(), PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 -- after any error the health is unknown
        log.debug("workers.health_unreadable", error=repr(error))
        WORKERS_ALIVE.set(math.nan)
        ENGINE_HELD.set(math.nan)
        HEARTBEAT_AGE.set(math.nan)
        return None
    WORKERS_ALIVE.set(health.alive)
    ENGINE_HELD.set(1 if health.held else 0)
    HEARTBEAT_AGE.set(math.inf if health.seconds is None else health.seconds)
    return health


async def read_turn_counts(request: Request) -> None:
    """Sets the metric of turns; absent if the database does not answer in time."""
    TURNS.turns = []
    try:
        counts: list[CountedTurns] = await asyncio.wait_for(request.app.state.turn_counts(), PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 -- after any error the counts are unknown
        log.debug("turns.unreadable", error=repr(error))
    else:
        TURNS.turns = [(row.task, row.via, row.turns) for row in counts]


async def responds(probe: Probe) -> bool:
    """Whether a probe answers in time."""
    try:
        await asyncio.wait_for(probe(), PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 -- after any error the service counts as down
        log.debug("health.probe_failed", error=repr(error))
        return False
    return True


@get(
    "/metrics",
    public=True,
    foreign=True,
    produces="*/*",
    media_type="text/plain",
    tags=["health"],
    raises=[NotAuthorizedException, NotFoundException, PermissionDeniedException],
)
async def metrics(request: Request) -> Response[bytes]:
    """Counters of the whole installation in Prometheus's text format. The caller sends METRICS_TOKEN as the
    bearer token."""
    await _admit(request)
    await read_worker_health(request)
    await read_turn_counts(request)
    request.app.state.record_pool()
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _admit(request: Request) -> None:
    """Refuses callers without METRICS_TOKEN. The usual guards don't fit, since a scraper has no account and
    the numbers cover all accounts. When METRICS_TOKEN is not set the route answers 404; in the demo, a member
    with jobs:run may read it."""
    settings = request.app.state.settings
    if settings.metrics_token:
        scheme, _, token = header(request.scope, b"authorization").partition(" ")
        valid = hmac.compare_digest(digest(token.strip()), digest(settings.metrics_token))
        if not valid or scheme.lower() != "bearer":
            raise NotAuthorizedException(
                "Send METRICS_TOKEN as the bearer token.", headers={"WWW-Authenticate": "Bearer"}
            )
        return
    if not settings.demo:
        raise NotFoundException("Metrics are off. Set METRICS_TOKEN to turn them on.")
    try:
        me = await request.app.state.identity.principal(request.scope)
    except BadToken as error:
        raise NotAuthorizedException(str(error), headers={"WWW-Authenticate": "Bearer"}) from error
    if Permission.RUN_JOBS not in me.permissions:
        raise Forbidden("Reading the metrics requires the permission jobs:run.")
