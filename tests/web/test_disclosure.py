"""A permission to write is no permission to read: every route that changes something, with a token that may
do that and nothing else."""

from typing import Any

import pytest
from litestar import Litestar
from litestar.response import Response

from app.permissions import Permission
from db.ids import uuid7
from tests.support.filled_account import FilledAccount, scene
from tests.support.route_permissions import Route, guarded
from tests.support.routes import routes_of
from tests.support.web_kit import JSON, PARTIAL
from tests.support.world import World

__all__ = ["scene"]

# A form that goes through, for routes that make something.
NEW: dict[str, dict[str, Any]] = {
    "/account": {"name": "Acme", "default_region": "US", "time_zone": "UTC"},
    "/contacts": {"email": "new@example.com"},
    "/contacts/bulk/tags": {"all": True, "tag": "many"},
    "/contacts/bulk/deletion": {"all": True},
    "/fields": {"label": "Shoe size", "type": "text"},
    "/members": {"email": "new-member@example.com", "role": "viewer"},
    "/segments": {"name": "Everyone", "f": ["city:is_set"]},
    "/tags": {"name": "fresh"},
    "/workflows": {"name": "Second"},
}
# What these show exists nowhere else: a secret, at the only time it can be seen.
RECEIPTS = {"POST /workflows/{workflow_id}/hooks"}
WRITES = [
    route for route in guarded() if route.method == "POST" and route.policy in set(Permission) - {"view"}
]
ENDS = ("deletion", "removal", "archival")


def last(route: Route) -> bool:
    return route.path.endswith(ENDS) and "pause" not in route.path


async def token(scene: FilledAccount, *scopes: str) -> str:
    async with scene.world.script(scene.cast.owner) as client:
        answer = await client.post("/tokens", json={"name": "narrow", "scopes": list(scopes)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


def opened_by(app: Litestar) -> dict[type, set[str]]:
    """Which permissions open a page that shows a struct."""
    opens: dict[type, set[str]] = {}
    for method, _, handler in routes_of(app):
        answer = handler.parsed_fn_signature.return_type
        shown = answer.inner_types[0] if answer.is_subclass_of(Response) and answer.inner_types else answer
        for guard in handler.resolve_guards() if method == "GET" else []:
            opens.setdefault(shown.annotation, set()).add(getattr(guard, "permission", ""))
    return opens


def shows(app: Litestar, route: Route) -> bool:
    """Whether the permission of a write also opens a page with the struct that it answers with."""
    (handler,) = [
        routed for method, path, routed in routes_of(app) if (method, path) == (route.method, route.path)
    ]
    inner = handler.parsed_fn_signature.return_type.inner_types
    return bool(inner) and route.policy in opened_by(app).get(inner[0].annotation, set())


@pytest.mark.parametrize("shape", [JSON, PARTIAL], ids=["json", "htmx"])
@pytest.mark.parametrize("permission", sorted({write_route.policy for write_route in WRITES}))
async def test_a_change_shows_only_what_its_token_may_read(
    scene: FilledAccount, permission: str, shape: dict[str, str]
) -> None:
    routes = sorted((write_route for write_route in WRITES if write_route.policy == permission), key=last)
    secret = await token(scene, permission)
    problems, done = [], 0
    async with scene.world.client(**shape, authorization=f"Bearer {secret}") as client:
        for route in routes:
            sent: dict[str, Any] = {"json": NEW.get(route.path, route.body)}
            if route.path == "/imports":
                sent = {"files": {"file": ("people.csv", b"email\nada@example.com\n", "text/csv")}}
            answer = await client.post(route.at(scene.ids), **sent)
            assert answer.status_code < 500, f"{route}: {answer.text}"
            done += answer.status_code < 400
            if answer.status_code < 400 and str(route) not in RECEIPTS and not shows(scene.world.app, route):
                if answer.content or "set-cookie" in answer.headers:
                    problems.append(f"{route}: {answer.status_code} {answer.text[:90]}")
            elif answer.status_code == 409 and shape is JSON and "current" in answer.json():
                problems.append(f"{route}: {answer.text[:200]}")
    assert not problems, "\n".join(problems)
    assert done, "something went through, so that there was something to hide"


async def test_caller_with_read_permission_gets_the_page(scene: FilledAccount) -> None:
    secret = await token(scene, "contacts:edit", "view")
    async with scene.world.client(**JSON, authorization=f"Bearer {secret}") as client:
        answer = await client.post(f"/contacts/{scene.cast.contact}", json={"city": "Paris"})
        assert (answer.status_code, answer.json()["contact"]["city"]) == (200, "Paris")
        assert len((await client.get(answer.json()["href"])).json()["notes"]) == 1


async def test_caller_without_read_permission_gets_status_and_location(
    world: World, scene: FilledAccount
) -> None:
    secret = await token(scene, "contacts:edit")
    async with world.client(**JSON, authorization=f"Bearer {secret}") as client:
        changed = await client.post(f"/contacts/{scene.cast.contact}", json={"city": "Paris"})
        assert (changed.status_code, changed.content) == (204, b"")
        created = await client.post("/contacts", json={"email": f"{uuid7().hex}@example.com"})
        assert (created.status_code, created.content) == (201, b"")
        assert created.headers["location"].startswith("/contacts/")
        assert (await client.get(created.headers["location"])).status_code == 403
        stale = await client.post(f"/contacts/{scene.cast.contact}", json={"city": "Rome", "rev": 1})
        assert stale.status_code == 409
        assert scene.cast.owner.name not in stale.text
        response = await client.post(f"/contacts/{scene.cast.contact}/fields/city", json={"value": "Oslo"})
        assert response.json()["field"]["key"] == "city", "its page opens with contacts:edit"


async def test_refusal_hides_names_from_callers_without_read_permission(
    world: World, scene: FilledAccount
) -> None:
    owner = scene.cast.owner
    narrow, wide = (
        await token(scene, "contacts:edit", "members:manage"),
        await token(scene, "contacts:edit", "view"),
    )
    email = f"{uuid7().hex}@example.com"
    async with world.client(**JSON, authorization=f"Bearer {narrow}") as client:
        contact = {"first_name": "Ottilie", "email": email}
        assert (await client.post("/contacts", json=contact)).status_code == 201
        taken = await client.post("/contacts", json=contact)
        assert (taken.status_code, taken.json()["errors"]["email"]) == (
            422,
            "Another contact already has this email address.",
        )
        member = await client.post("/members", json={"email": owner.email, "role": "viewer"})
        assert (member.status_code, member.json()["detail"]) == (409, f"{owner.email} is already a member.")
        again = await client.post(f"/members/{owner.user_id}/link")
        assert (again.status_code, owner.name in again.text) == (409, False)
    async with world.client(**JSON, authorization=f"Bearer {wide}") as client:
        taken = await client.post("/contacts", json=contact)
        assert taken.json()["errors"]["email"] == "Ottilie already has this email address."
