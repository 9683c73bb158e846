"""From `/` over every link, as a page and as JSON: everything answers, and both shapes offer the same."""

import re
from urllib.parse import urlsplit

import pytest

from tests.support.crawler import Walk
from tests.support.pages import Page
from tests.support.route_permissions import table
from tests.support.sample_account import cast_of
from tests.support.web_kit import JSON
from tests.support.world import World


@pytest.mark.parametrize("role", ["owner", "viewer"])
async def test_pages_and_json_offer_the_same_actions(world: World, role: str) -> None:
    cast = await cast_of(world)
    who = cast.owner if role == "owner" else await world.person(role, cast.account)
    walk = Walk()
    async with world.browser(who) as page, world.script(who) as script:
        await walk.all(page, script)
    assert not walk.problems, "\n".join(walk.problems)
    assert len(walk.visited) >= 5
    ways = {kind.partition(" ")[0] for kind in walk.called}
    assert ways == {"form", "POST", "DELETE"} | ({"GET", "PATCH"} if role == "owner" else set())


async def test_every_screen_can_be_reached_by_links(world: World) -> None:
    """Every page that a member may open is reachable by links."""
    cast = await cast_of(world)
    walk = Walk()
    async with world.browser(cast.owner) as page, world.script(cast.owner) as script:
        await walk.all(page, script)
    reached = {urlsplit(path).path for path in walk.visited}
    screens = [path for method, path in table() if method == "GET"]
    lost = [path for path in screens if not any(matches(path, reached_path) for reached_path in reached)]
    assert sorted(set(lost) - UNLINKED) == []


# Screens without a link, with the reason.
UNLINKED = {
    "/contacts/filter",  # the form for a condition alone, which the list shows under its own URL
    "/contacts/count",  # the number of contacts, which the list asks for when it is shown
    "/segments/counts",  # the same for the list of segments
    "/schema/openapi.json",  # a file, linked from /schema for downloading
    "/workflows/{workflow_id}/counts",  # a fragment that the builder asks for while it is open
}


def matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template))
    return re.fullmatch(pattern, path) is not None


async def test_forms_of_the_layout_go_to_routes(world: World) -> None:
    """Signing out and switching accounts stand outside of <main>: they are on every page."""
    cast = await cast_of(world)
    await world.join(cast.owner.user_id, await world.account("Second"), "viewer")
    async with world.browser(cast.owner) as page:
        drawn = Page((await page.get("/")).text, "/")
    targets = {form.action for form in drawn.forms if form.method == "POST" and not form.inside_main}
    assert targets == {"/sessions/current/account", "/sessions/current/deletion"}


async def test_json_client_reaches_every_route_from_the_start(world: World) -> None:
    cast = await cast_of(world)
    async with world.script(cast.owner) as script:
        assert script.headers["accept"] == JSON["accept"]
        start = await script.get("/")
        assert start.status_code == 200
        assert isinstance(start.json(), dict)


@pytest.mark.parametrize(
    ("path", "role", "hrefs"),
    [
        ("/workflows", "operator", {"/workflows/new"}),
        ("/imports", "operator", {"/imports/new"}),
        ("/contacts", "operator", {"/contacts/new", "/imports/new"}),
        ("/workflows", "viewer", set()),
        ("/imports", "viewer", set()),
        ("/contacts", "viewer", set()),
    ],
)
async def test_lists_link_to_the_form_for_a_new_item(
    world: World, path: str, role: str, hrefs: set[str]
) -> None:
    """The way is an action in JSON and a link on the page, of an empty list too."""
    who = await world.person(role)
    async with world.script(who) as script, world.browser(who) as browser:
        ways = [action for action in (await script.get(path)).json()["actions"] if action["method"] == "GET"]
        page = Page((await browser.get(path)).text, path)
        assert {action["href"] for action in ways} == hrefs
        assert {link for link in page.links if link.endswith("/new")} == hrefs
        for way in ways:
            form = (await script.get(way["href"])).json()
            assert [action["method"] for action in form["actions"]] == ["POST"]
