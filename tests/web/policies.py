"""Who may call what: every route of the program, by hand. A route that is not here fails the tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from litestar import Litestar

from tests.web.test_openapi import PUBLIC, routes_of

# A permission of app/permissions.py; "signed_in" anybody; "in_person" no access tokens.
POLICIES = """
GET  /                                      view
GET  /account                               view
POST /account                               account:manage
GET  /audit                                 audit:view
GET  /mailbox                               view
GET  /mailbox/{message_id}                  view
GET  /members                               view
POST /members                               members:manage
POST /members/{user_id}/deletion            members:manage
POST /members/{user_id}/link                members:manage
POST /members/{user_id}/role                members:manage
GET  /password                              in_person
POST /password                              in_person
GET  /roles                                 view
GET  /schema                                signed_in
GET  /schema/openapi.json                   signed_in
GET  /sessions                              in_person
POST /sessions/current/account              in_person
POST /sessions/current/deletion             in_person
POST /sessions/others/revocation            in_person
POST /sessions/{session_id}/revocation      in_person
GET  /tokens                                in_person
POST /tokens                                in_person
POST /tokens/{token_id}/revocation          in_person
"""

# The smallest body that passes validation, for routes that are not content with an empty one.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/members/{user_id}/role"): {"role": "viewer"},
}


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    policy: str

    @property
    def has_ids(self) -> bool:
        return "{" in self.path

    def at(self, ids: dict[str, Any]) -> str:
        """The path with ids put in. Raises KeyError for a parameter that the test does not know."""
        return "/" + "/".join(
            str(ids[part[1:-1]]) if part.startswith("{") else part for part in self.path.strip("/").split("/")
        )

    @property
    def body(self) -> dict[str, Any]:
        return BODIES.get((self.method, self.path), {})

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def table() -> dict[tuple[str, str], str]:
    found = {}
    for line in POLICIES.strip().splitlines():
        method, path, policy = line.split()
        found[method, path] = policy
    return found


def live(app: Litestar) -> dict[tuple[str, str], str]:
    """The policies as the routes have them: what their guard asks for."""
    found = {}
    for method, path, handler in routes_of(app):
        if (method, path) in PUBLIC:
            continue
        guards = handler.resolve_guards()
        asked: list[str] = []
        for guard in guards:
            permission = getattr(guard, "permission", None)
            asked.append(permission.value if permission else getattr(guard, "__name__", "?"))
        found[method, path] = "+".join(asked) or "nothing"
    return found


def guarded() -> Iterator[Route]:
    for (method, path), policy in table().items():
        yield Route(method, path, policy)
