"""The gates in their order: origin 403, token 401, rate 429, permission 403, input 422, then the handler."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.credentials import digest, session_secret
from tests.support.web_kit import BASE, HTML, JSON, OWN, PARTIAL, Kit, limits_of

FOREIGN = {"origin": "https://evil.example"}
BAD = {"name": ""}


async def send(kit: Kit, method: str, path: str, **options: Any) -> httpx.Response:
    async with kit.client() as client:
        return await client.request(method, path, **options)


async def test_checks_run_in_order(tmp_path: Path) -> None:
    kit = Kit(tmp_path, limits_of(2, window=3600))
    owner, viewer = kit.bearer(kit.people.owner), kit.bearer(kit.people.viewer)

    async def create(headers: dict[str, str], body: dict[str, Any] = BAD) -> int:
        return (await send(kit, "POST", "/things", headers=headers, json=body)).status_code

    assert await create(FOREIGN) == 403, "a foreign origin is refused before anybody asks for a token"
    assert await create(FOREIGN | owner, {"name": "Bo"}) == 403, "a token does not open it"
    assert await create({}) == 401
    assert await create({"authorization": "Bearer x"}) == 401
    assert await create(viewer) == 403, "permission comes before input"
    assert await create(owner) == 422
    assert await create(owner, {"name": "Bo"}) == 429, "two calls were allowed, refused ones counted"
    assert await create(viewer) == 429, "over the rate and forbidden: the rate answers"
    assert await create({}) == 401, "without a token there is no account to limit"
    assert await create(FOREIGN | owner) == 403


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 200),
        ("GET", FOREIGN, 403),
        ("GET", {"origin": "null"}, 403),
        ("GET", {"sec-fetch-site": "cross-site"}, 200),
        ("POST", {}, 403),
        ("POST", OWN, 201),
        ("POST", {"origin": "HTTP://LOCALHOST:8000"}, 201),
        ("POST", {"origin": "http://127.0.0.1:8001"}, 403),
        ("POST", {"origin": "http://127.0.0.1:8000.evil.example"}, 403),
        ("POST", {"origin": "null"}, 403),
        ("POST", {"sec-fetch-site": "same-origin"}, 201),
        ("POST", {"sec-fetch-site": "none"}, 201),
        ("POST", {"sec-fetch-site": "same-site"}, 403),
        ("POST", {"sec-fetch-site": "cross-site"}, 403),
        ("POST", {"sec-fetch-site": "cross-site"} | FOREIGN, 403),
        ("POST", {"origin": "https://partner.example", "sec-fetch-site": "cross-site"}, 201),
    ],
)
async def test_browser_is_authenticated_by_its_cookie(
    tmp_path: Path, method: str, headers: dict[str, str], status: int
) -> None:
    kit = Kit(tmp_path, allowed_origins=["https://partner.example"])
    cookie = {"cookie": f"{kit.cookies.token}={kit.token()}"}
    path, body = ("/things/new", None) if method == "GET" else ("/things", {"name": "Bo"})
    answer = await send(kit, method, path, headers=headers | cookie, json=body)
    assert answer.status_code == status, answer.text


async def test_a_bearer_needs_no_origin_but_another_site_is_refused(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 201),
        ({"cookie": "theme=dark"}, 201),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 201),
        (FOREIGN, 403),
    ]
    for headers, status in cases:
        answer = await send(kit, "POST", "/things", headers=kit.bearer() | headers, json={"name": "Bo"})
        assert answer.status_code == status


async def test_preflights(tmp_path: Path) -> None:
    kit = Kit(tmp_path, allowed_origins=["https://partner.example"])
    ask = {"access-control-request-method": "POST"}
    good = await send(kit, "OPTIONS", "/things", headers=ask | {"origin": "https://partner.example"})
    bad = await send(kit, "OPTIONS", "/things", headers=ask | FOREIGN)
    assert (good.status_code, bad.status_code) == (204, 403)
    assert good.headers["access-control-allow-origin"] == "https://partner.example"
    assert "Authorization" in good.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in good.headers
    assert "access-control-allow-origin" not in bad.headers


async def test_an_allowed_origin_may_read_the_answer(tmp_path: Path) -> None:
    kit = Kit(tmp_path, allowed_origins=["https://partner.example"])
    headers = kit.bearer() | {"origin": "https://partner.example"}
    answer = await send(kit, "GET", "/things/new", headers=headers)
    assert answer.headers["access-control-allow-origin"] == "https://partner.example"
    assert "Origin" in answer.headers["vary"]


async def test_foreign_origin_is_refused_without_a_route_too(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    assert (await send(kit, "POST", "/nothing", headers=FOREIGN)).status_code == 403
    assert (await send(kit, "POST", "/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/things/new", "/things/new"),
        ("/things/new?n=1&q=a%20b", "/things/new%3Fn%3D1%26q%3Da%2520b"),
    ],
)
async def test_a_browser_without_a_session_signs_in_and_comes_back(
    tmp_path: Path, path: str, back: str
) -> None:
    answer = await send(Kit(tmp_path), "GET", path, headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={back}")


async def test_others_without_a_session_get_401(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    script = await send(kit, "GET", "/things/new", headers=JSON)
    post = await send(kit, "POST", "/things", headers=HTML, data={"name": "Bo"})
    part = await send(
        kit, "GET", "/things/new", headers=PARTIAL | {"hx-current-url": f"{BASE}/contacts?tag=vip"}
    )
    assert [response.status_code for response in (script, post, part)] == [401, 401, 401]
    assert script.headers["www-authenticate"].startswith("Bearer")
    assert part.headers["hx-redirect"] == "/sign-in?next=/contacts%3Ftag%3Dvip"


async def test_an_old_cookie_is_renewed_while_its_session_lives(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    session_key = session_secret(kit.people.owner)
    kit.people.secrets.add(digest(session_key))
    secret = f"{kit.cookies.secret}={session_key}"
    wrong = f"{kit.cookies.secret}={session_secret(kit.people.owner)}"
    old = f"{kit.cookies.token}={kit.token(lifetime=-1)}"
    forged = f"{kit.cookies.token}={kit.token()[:-8]}AAAAAAAA"
    for cookie in (secret, f"{old}; {secret}"):
        answer = await send(kit, "GET", "/things/new", headers=HTML | {"cookie": cookie})
        assert answer.status_code == 200
        assert kit.tokens.read(answer.cookies[kit.cookies.token]).sid == kit.people.owner
    for cookie in (old, wrong, f"{kit.cookies.secret}=another", f"{forged}; {secret}"):
        answer = await send(kit, "GET", "/things/new", headers=JSON | {"cookie": cookie})
        assert answer.status_code == 401
    again = await send(kit, "GET", "/things/new", headers=HTML | {"cookie": old})
    assert again.status_code == 303


async def test_a_header_counts_before_a_cookie(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    cookie = {"cookie": f"{kit.cookies.token}={kit.token()}"}
    answer = await send(kit, "GET", "/things/new", headers=cookie | {"authorization": "Bearer nonsense"})
    assert answer.status_code == 401
    basic = await send(kit, "GET", "/things/new", headers=cookie | {"authorization": "Basic eDp5"})
    assert basic.status_code == 401


async def test_every_answer_carries_the_headers(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    for path, headers in (
        ("/things/new", kit.bearer()),
        ("/nothing", {}),
        ("/things/fault/bug", kit.bearer()),
    ):
        answer = await send(kit, "GET", path, headers=headers)
        assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert len(answer.headers["x-request-id"]) == 32
        assert "strict-transport-security" not in answer.headers
    secure = await send(Kit(tmp_path, base_url="https://crm.example"), "GET", "/nothing")
    assert secure.headers["strict-transport-security"].startswith("max-age=31536000")


async def test_cookies_are_host_only_and_secure_behind_https(tmp_path: Path) -> None:
    plain, secure = Kit(tmp_path), Kit(tmp_path, base_url="https://crm.example")
    for kit, prefix, flag in ((plain, "switchyard-", False), (secure, "__Host-switchyard-", True)):
        for cookie in kit.cookies.signed_in("a", "b"):
            text = cookie.to_header(header="")
            assert text.startswith(prefix)
            assert ("Secure" in text) is flag
            assert all(part in text for part in ("HttpOnly", "Path=/", "SameSite=lax", "Max-Age=1209600"))
            assert "Domain" not in text


async def test_static_files_are_public_named_by_content_and_closed(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    url = kit.app.state.assets.url("favicon.svg")
    answer = await send(kit, "GET", url)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("image/svg+xml")
    bare = await send(kit, "GET", "/static/favicon.svg", headers={"if-none-match": answer.headers["etag"]})
    assert (bare.status_code, bare.content) == (304, b"")
    for path in (
        "/static/../pyproject.toml",
        "/static/%2e%2e/pyproject.toml",
        "/static/css",
        "/static/.x",
        "/static/a%00b",
    ):
        assert (await send(kit, "GET", path)).status_code == 404, path


async def test_static_files_are_compressed_and_each_coding_has_its_etag(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    url = kit.app.state.assets.url("app.css")
    codings = {"br": "gzip, br", "gzip": "gzip", "": "br;q=0"}
    answers = {
        coding: await send(kit, "GET", url, headers={"accept-encoding": accepted})
        for coding, accepted in codings.items()
    }
    assert {coding: answer.headers.get("content-encoding", "") for coding, answer in answers.items()} == {
        coding: coding for coding in codings
    }
    assert len({answer.content for answer in answers.values()}) == 1
    assert len({answer.headers["etag"] for answer in answers.values()}) == 3
    sizes = [int(answers[coding].headers["content-length"]) for coding in codings]
    assert sizes == sorted(sizes)
    for coding, answer in answers.items():
        assert answer.headers["vary"] == "Accept-Encoding"
        conditional = {
            "accept-encoding": codings[coding],
            "if-none-match": f'W/{answer.headers["etag"]}, "x"',
        }
        again = await send(kit, "GET", url, headers=conditional)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["vary"] == "Accept-Encoding"
        assert "content-encoding" not in again.headers


DENIED = (
    "This token isn't allowed to do this. It requires the permission "
    "“Add, edit and delete contacts, tags and fields” (contacts:edit)."
)


async def test_access_token_is_limited_to_its_scopes(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    headers = {"authorization": "Bearer swy_view"}
    assert (await send(kit, "GET", "/things/new", headers=headers)).status_code == 200
    refused = await send(kit, "POST", "/things", headers=headers, json={"name": "Bo"})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        DENIED,
    )
    assert (await send(kit, "GET", "/things/mine", headers=headers)).status_code == 403
    assert (
        await send(kit, "GET", "/things/new", headers={"authorization": "Bearer swy_other"})
    ).status_code == 401


async def test_a_session_that_ends_is_over_at_the_next_request(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    headers = kit.bearer()
    assert (await send(kit, "GET", "/things/new", headers=headers)).status_code == 200
    assert kit.people.lookups == 1
    del kit.people.sessions[kit.people.owner]
    assert (await send(kit, "GET", "/things/new", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("settings", "statuses"),
    [
        ({}, [404, 404, 404, 404, 404]),
        ({"metrics_token": "scrape-me"}, [401, 401, 401, 401, 200]),
        ({"metrics_token": "scrape-me", "demo": True}, [401, 401, 401, 401, 200]),
        ({"demo": True}, [401, 403, 200, 401, 401]),
    ],
)
async def test_metrics_need_their_own_token(
    tmp_path: Path, settings: dict[str, Any], statuses: list[int]
) -> None:
    """They show every account, so no role of one account opens them, except in the demo."""
    kit = Kit(tmp_path, **settings)
    for headers, status in zip(
        [
            {},
            kit.bearer(kit.people.viewer),
            kit.bearer(kit.people.owner),
            {"authorization": "Basic scrape-me"},
            {"authorization": "Bearer scrape-me"},
        ],
        statuses,
        strict=True,
    ):
        for shape in (JSON, HTML):
            answer = await send(kit, "GET", "/metrics", headers=headers | ({} if status == 200 else shape))
            assert answer.status_code == status, (headers, answer.text)
            assert ("switchyard_http_requests_total" in answer.text) is (status == 200)
            assert str(kit.people.account) not in answer.text


async def test_probes(tmp_path: Path) -> None:
    kit = Kit(tmp_path)

    async def broken() -> None:
        raise ConnectionError

    assert (await send(kit, "GET", "/health/live")).json() == {"status": "ok"}
    assert (await send(kit, "GET", "/health/ready")).json()["status"] == "ok"
    kit.app.state.redis_probe = broken
    degraded = await send(kit, "GET", "/health/ready")
    assert (degraded.status_code, degraded.json()["status"]) == (200, "degraded")
    kit.app.state.database_probe = broken
    down = await send(kit, "GET", "/health/ready")
    assert (down.status_code, down.json()["database"]) == (503, "down")
