"""Builds the Litestar app: the routes, and around them the checks of a request in their order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import cast

from litestar import Litestar
from litestar.di import Provide
from litestar.plugins import PluginProtocol
from litestar.routes import HTTPRoute
from litestar.types import BeforeRequestHookHandler, ControllerRouterHandler
from redis.asyncio import Redis

from app.redaction import hide_paths
from app.settings import Settings
from app.web.auth import Authenticate, Directory, Identity
from app.web.body_limits import PARTS
from app.web.cookies import Cookies
from app.web.errors import EXCEPTION_HANDLERS
from app.web.logs import hide_settings
from app.web.middleware import ResponseMiddleware
from app.web.openapi.controllers import SchemaController
from app.web.openapi.document import config
from app.web.params import remember_parameters
from app.web.rate_limit import RedisBreaker
from app.web.request import Request
from app.web.request_checks import prepare
from app.web.request_limits import request_limits
from app.web.responses import Shaped
from app.web.signing_keys import KeyRing
from app.web.stalls import AbortStalledReads, DatabaseWatch
from app.web.static import Assets, static_file
from app.web.templates import Templates
from app.web.tokens import Tokens

Probe = Callable[[], Awaitable[object]]


def build_app(
    settings: Settings,
    routes: Sequence[ControllerRouterHandler],
    *,
    directory: Directory,
    redis: Redis | None,
    breaker: RedisBreaker,
    database_probe: Probe,
    connect_probe: Probe,
    dependencies: Mapping[str, Provide],
    state: Mapping[str, object],
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    plugins: Sequence[PluginProtocol] = (),
) -> Litestar:
    """The app. It checks a request in this order: origin, token, rate, permission, input; then the handler
    runs. With `redis` None each process limits rates for itself; all that ask it share `breaker`.
    `connect_probe` opens a new connection, `state` is added to `app.state`; `lifespan` and `plugins` are
    Litestar's."""
    keys = KeyRing(settings.data_dir, settings.signing_keys)
    cookies, tokens = Cookies(settings), Tokens(keys, settings.base_url)
    identity = Identity(directory, tokens, cookies)
    app = Litestar(
        [*routes, static_file],
        request_class=Request,
        response_class=Shaped,
        before_request=cast("BeforeRequestHookHandler", prepare),  # it uses the app's own Request class
        exception_handlers=EXCEPTION_HANDLERS,
        middleware=[
            AbortStalledReads(DatabaseWatch(connect_probe)),
            Authenticate(identity, request_limits(settings, redis, breaker)),
        ],
        dependencies=dict(dependencies),
        request_max_body_size=settings.max_body_bytes,
        multipart_form_part_limit=PARTS,
        openapi_config=config(SchemaController),
        logging_config=None,
        lifespan=lifespan,
        plugins=plugins,
    )
    hide_settings(settings)
    remember_parameters(app)
    resolve_in_turn(app)
    hide_paths(route.path_format for route in app.routes)
    assets = Assets(look_every=1 if settings.demo else None)
    app.state.update(
        {
            "settings": settings,
            "assets": assets,
            "templates": Templates(settings, assets),
            "key_ring": keys,
            "tokens": tokens,
            "cookies": cookies,
            "identity": identity,
            "breaker": breaker,
            "database_probe": database_probe,
            "redis_probe": redis.ping if redis is not None else _no_redis,
            "demo_people": [],
            **state,
        }
    )
    app.asgi_handler = ResponseMiddleware(app.asgi_handler, settings)
    return app


def resolve_in_turn(app: Litestar) -> None:
    """Lets each route resolve one dependency after the other, the unit of work last. By itself Litestar does
    it at the same time, and cancels the others when one fails (`paging` does for a wrong cursor): a statement
    of the unit of work that is canceled ends its connection to the database."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for _, model in route.route_handler_map.values():
                model.dependency_batches = [
                    {dependency}
                    for batch in model.dependency_batches
                    for dependency in sorted(batch, key=lambda each: each.key == "work")
                ]


async def _no_redis() -> None:
    """The Redis probe of an app without Redis: always succeeds."""
    await asyncio.sleep(0)
