"""Parameters that a route does not know, that are sent twice, or that have no value."""

import httpx
import pytest

from tests.support.filled_account import FilledAccount, scene
from tests.support.route_permissions import NOT_JSON, Route, table
from tests.support.web_kit import HTML, JSON, OWN, PARTIAL
from tests.support.world import World

__all__ = ["scene"]


def errors_of(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    errors: dict[str, str] = answer.json()["errors"]
    return errors


async def test_json_refuses_an_unknown_name_with_the_nearest_known_one(world: World) -> None:
    async with world.script(await world.person()) as script:
        refused = errors_of(await script.get("/enrollments?statsu=active&_=1"))
        assert refused["statsu"] == "There is no such parameter. Did you mean “status”?"
        assert refused["_"].startswith("There is no such parameter: this URL takes ")
        assert {"status", "after", "limit"} <= set(refused["_"].rstrip(".").replace(",", "").split())
        alone = errors_of(await script.get("/account?zone=utc"))
        assert alone == {"zone": "There is no such parameter: this URL takes no parameters."}


async def test_a_page_ignores_an_unknown_name_and_says_so(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        shown = await browser.get("/enrollments?statsu=active&%3Cb%3E=1", headers=HTML)
        assert shown.status_code == 200
        assert "“statsu” in the address is unknown here and was ignored. Did you mean “status”?" in shown.text
        assert "“&lt;b&gt;” in the address is unknown here" in shown.text
        many = await browser.get("/tags?" + "&".join(f"x{number}=1" for number in range(50)), headers=HTML)
        assert many.text.count("is unknown here and was ignored") == 3
        assert "is unknown here" not in (await browser.get("/tags", headers=HTML)).text


async def test_a_fragment_brings_the_notice_along(world: World) -> None:
    async with world.browser(await world.person()) as browser:
        fragment = (await browser.get("/tasks?veiw=all", headers=PARTIAL)).text
        assert '<hx-partial hx-target="#notes" hx-swap="innerHTML">' in fragment
        assert "Did you mean “view”?" in fragment
        assert "<html" not in fragment


async def test_a_second_value_is_refused_where_one_is_expected(world: World) -> None:
    async with world.script(await world.person()) as script, world.browser(await world.person()) as browser:
        assert errors_of(await script.get("/tasks?view=all&view=done")) == {"view": "Send one value."}
        shown = await browser.get("/tasks?view=all&view=done", headers=HTML)
        assert "“view” is more than once in the address. Only the last one counts." in shown.text
        assert (await script.get("/contacts?f=city:is:Oslo&f=city:is_not:Rome")).status_code == 200


@pytest.mark.parametrize(
    "query",
    ["after=&before=&limit=", "status=&workflow_id=&contact_id=&step=&q=", "q=&q=x", "limit=&limit=5"],
)
async def test_a_parameter_without_a_value_counts_as_not_sent(world: World, query: str) -> None:
    who = await world.person()
    async with world.script(who) as script, world.browser(who) as browser:
        assert (await script.get(f"/enrollments?{query}")).status_code == 200
        page = await browser.get(f"/enrollments?{query}", headers=HTML)
        assert (page.status_code, "in the address" in page.text) == (200, False)


# No pages of their own.
WITHOUT_NOTICE = (
    "/schema/openapi.json", "/workflows/{workflow_id}/counts", "/contacts/count", "/segments/counts",
)  # fmt: skip


async def test_every_route_knows_its_parameters(scene: FilledAccount) -> None:
    """A made-up name is refused as JSON and told on the page, on every screen."""
    script, browser = await scene.clients(scene.cast.owner)
    problems = []
    for method, path in table():
        route = Route(method, path, "")
        if method not in ("GET", "DELETE") or path in NOT_JSON or path == "/sessions/current":
            continue
        address = f"{route.at(scene.ids)}?made_up=1"
        refused = await script.request(method, address)
        if refused.status_code != 422 or "made_up" not in refused.json()["errors"]:
            problems.append(f"{method} {path} as JSON: {refused.status_code} {refused.text[:90]}")
        if method == "GET" and path not in WITHOUT_NOTICE:
            page = await browser.get(address)
            if page.status_code != 200 or "“made_up” in the address is unknown here" not in page.text:
                problems.append(f"{path} as a page: {page.status_code}")
    assert not problems, "\n".join(problems)


async def test_routes_for_other_systems_take_any_query(world: World) -> None:
    async with world.client(**JSON) as client:
        for path in ("/health/live", "/.well-known/jwks.json", "/static/app.css"):
            assert (await client.get(f"{path}?cache=1&cache=2")).status_code == 200, path


async def test_sign_in_knows_where_to_go_back(world: World) -> None:
    async with world.client(**HTML, **OWN) as client:
        page = await client.get("/sign-in?next=/tags%3Flimit%3D1")
        assert 'name="next" value="/tags?limit=1"' in page.text
        assert "is unknown here" not in page.text
        assert "is unknown here" in (await client.get("/sign-in?nxt=/tags")).text


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_change_takes_its_fields_in_the_body(world: World, method: str) -> None:
    async with world.script(await world.person()) as script, world.browser(await world.person()) as browser:
        refused = await script.request(method, "/account?name=New")
        assert "Send it in the body" in errors_of(refused)["name"]
        assert (await browser.request(method, "/account?name=New", headers=HTML)).status_code == 422
        assert (await browser.get("/account", headers=JSON)).json()["account"]["name"] != "New"
