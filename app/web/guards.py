"""Permission checks (403). Every route has one of these guards or is `public=True`."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler

from app.errors import Forbidden
from app.permissions import LABELS, Permission
from app.web.request import Request
from app.work import Principal

Connection: TypeAlias = ASGIConnection[BaseRouteHandler, Principal | None, Principal | None, State]
Guard: TypeAlias = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


def may(permission: Permission) -> Guard:
    """A guard that requires the permission in the current account."""

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        me: Principal = connection.scope["auth"]
        if permission not in me.permissions:
            subject = "This token" if me.token_id else f"The role {me.role} in {me.account_name}"
            raise Forbidden(
                f"{subject} isn't allowed to do this. It requires the permission “{LABELS[permission]}” "
                f"({permission.value})."
            )

    guard.permission = permission  # type: ignore[attr-defined]  # -- the route policy is read from here
    return guard


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Requires a signed-in caller but no permission, for changes of the caller's own settings."""


async def refuse_access_tokens(connection: Connection, _: BaseRouteHandler) -> None:
    """Requires a signed-in member and refuses personal access tokens, because a script with some permissions
    of a role must not manage sessions, passwords and tokens."""
    if connection.scope["auth"].token_id is not None:
        raise Forbidden("A personal access token can't do this. Sign in.")


async def count_network(request: Request) -> None:
    """Counts sign-ins and password resets by network; public routes use it as `before_body`. Raises 429 with
    `Retry-After`, before the body is read."""
    await request.app.state.throttle.check_network(request.scope["state"]["network"])
