"""From `/` over every link, as a page and as JSON: everything answers, and both shapes offer the same."""

import re
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from tests.support.pages import Page, actions_in, local, unexpected
from tests.support.route_permissions import table
from tests.support.sample_account import cast_of
from tests.support.web_kit import JSON
from tests.support.world import World

OF_ONE_KIND = 3  # pages that differ only in ids or in the values of the query
MOST = 400
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
NOT_PAGES = ("/static/", "/.well-known/")


def kind_of(path: str) -> str:
    parts = urlsplit(path)
    keys = sorted({key for key, _ in parse_qsl(parts.query, keep_blank_values=True)})
    return ID.sub("{id}", parts.path) + "?" + "&".join(keys)


def said_by(answer: httpx.Response) -> str:
    """The words of a page without its markup, or of JSON, cut short."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.text).split())[:200]


@dataclass
class Walk:
    visited: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    async def all(self, page: httpx.AsyncClient, script: httpx.AsyncClient) -> None:
        waiting = ["/"]
        while waiting and len(self.visited) < MOST:
            path = waiting.pop(0)
            if path in self.visited or path.startswith(NOT_PAGES) or self.kinds[kind_of(path)] >= OF_ONE_KIND:
                continue
            self.kinds[kind_of(path)] += 1
            self.visited[path] = kind_of(path)
            waiting += await self.visit(path, page, script)

    async def visit(self, path: str, page: httpx.AsyncClient, script: httpx.AsyncClient) -> list[str]:
        answer = await page.get(path)
        if answer.status_code != 200:
            self.problems.append(f"{path} as a page: {answer.status_code} {said_by(answer)}")
            return []
        if not answer.headers["content-type"].startswith("text/html"):
            return []
        drawn = Page(answer.text, path)
        if not drawn.title.strip(" ·").removesuffix("Switchyard").strip(" ·"):
            self.problems.append(f"{path}: no title")
        json_answer = await script.get(path)
        if json_answer.status_code != 200 or "json" not in json_answer.headers["content-type"]:
            self.problems.append(f"{path} as JSON: {json_answer.status_code} {said_by(json_answer)}")
        elif not path.startswith("/schema"):
            self.compare(path, drawn, json_answer)
        return [link for href in drawn.links if (link := local(href, urlsplit(path).path))]

    def compare(self, path: str, drawn: Page, json_answer: httpx.Response) -> None:
        actions: dict[str, set[str]] = {}
        links: set[str] = set()
        for action in actions_in(json_answer.json()):
            if action["method"] == "GET":
                links.add(action["href"])
            else:
                actions.setdefault(action["href"], set()).update(f["name"] for f in action.get("fields", []))
        offers = drawn.offers()
        if set(offers) != set(actions):
            only_page, only_json = sorted(set(offers) - set(actions)), sorted(set(actions) - set(offers))
            self.problems.append(f"{path}: only on the page {only_page}, only in the JSON {only_json}")
        here = urlsplit(path).path
        undrawn, unsaid = links - set(drawn.links), {f"{here}/new"} & set(drawn.links) - links
        if undrawn or unsaid:
            self.problems.append(
                f"{path}: links only on the page {sorted(unsaid)}, only in the JSON {sorted(undrawn)}"
            )
        for href, names in offers.items():
            extra = unexpected(names, actions.get(href, names))
            if extra:
                self.problems.append(
                    f"{path}: the form to {href} sends {sorted(extra)}, unknown to its action"
                )


@pytest.mark.parametrize("role", ["owner", "viewer"])
async def test_pages_and_json_offer_the_same_actions(world: World, role: str) -> None:
    cast = await cast_of(world)
    who = cast.owner if role == "owner" else await world.person(role, cast.account)
    walk = Walk()
    async with world.browser(who) as page, world.script(who) as script:
        await walk.all(page, script)
    assert not walk.problems, "\n".join(walk.problems)
    assert len(walk.visited) >= 5


async def test_every_screen_can_be_reached_by_links(world: World) -> None:
    """Nothing that a person may look at is known only to those who know its address."""
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
