"""The routes of the app, and those that are public."""

from collections.abc import Iterator

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

# The public routes: no other route answers a caller who is not signed in.
PUBLIC = {
    ("GET", "/sign-in"),
    ("POST", "/sessions"),
    ("GET", "/password-reset"),
    ("POST", "/password-reset"),
    ("GET", "/password-reset/{token}"),
    ("POST", "/password-reset/{token}"),
    ("GET", "/invitations/{token}"),
    ("POST", "/invitations/{token}"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/hooks/{token}"),
    ("GET", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/{token}"),
    ("GET", "/static/{name}"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/health/workers"),
    ("GET", "/metrics"),  # outside the account gate; asks for its own token, see test_request_path
}


def routes_of(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                if method != "OPTIONS":
                    yield method, route.path_format or "/", handler
