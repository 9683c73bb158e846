"""No secret in a log or a trace: every route whose address holds one, by every method, at every status."""

import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from app.engine.core.triggers import InboundWebhook
from app.engine.effects.unsubscribe_links import PATH, link_key, token_of
from app.redaction import HIDDEN, SECRET_PARAMETERS
from app.sessions.throttle import Throttle
from app.web import tracing
from app.web.rate_limit import Limiter
from app.web.span_export import RedactingExporter
from tests.support.log_recorder import Recorder
from tests.support.mail_links import invitation_in, link_in
from tests.support.routes import PUBLIC, routes_of
from tests.support.web_kit import BASE, HTML, JSON, OWN
from tests.support.webhook_kit import address, contact, flow
from tests.support.world import PASSWORD, World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
KIND = {"content-type": "application/json"}
# What is sent beside the address: headers and a body.
SENT: tuple[tuple[dict[str, str], bytes], ...] = (
    ({}, b""),
    (KIND, b'{"new_password": "short"}'),
    (KIND, b'{"unknown": 1}'),
    (KIND, b"{"),
    ({"content-type": "text/xml"}, b"<a/>"),
    ({"origin": "https://evil.example"}, b""),
    (KIND | {"content-length": "99999999"}, b"{}"),
)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans of the web server, exported as they are to a collector."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(memory)))
    monkeypatch.setattr(tracing, "TRACER", provider.get_tracer("tests"))
    yield memory
    provider.shutdown()


async def secret_addresses(world: World) -> dict[str, str]:
    """A live address of each public route that holds a secret, by the route."""
    owner = await world.person()
    hook, _ = await address(world, owner, await flow(world, owner.account_id, InboundWebhook()))
    async with world.client(**JSON) as client:
        await client.post("/password-reset", json={"email": owner.email})
    token = token_of(await link_key(world.runtime), owner.account_id, await contact(world, owner.account_id))
    async with world.script(owner) as script:
        await script.post("/members", json={"email": f"{owner.user_id.hex}@x.example", "role": "viewer"})
    return {
        "/hooks/{token}": hook,
        "/invitations/{token}": invitation_in(world),
        "/password-reset/{token}": link_in(world, -2),
        "/unsubscribe/{token}": f"{PATH}{token}",
    }


def test_a_public_route_with_a_text_in_its_path_names_it_a_secret(world: World) -> None:
    """Or it would be logged: `app.redaction` hides what these parameters hold."""
    for method, path, handler in routes_of(world.app):
        if (method, path) in PUBLIC and "{" in path and path != "/static/{name}":
            assert "{" + path.rpartition("{")[2] in {f"{{{name}}}" for name in SECRET_PARAMETERS}, path
            assert handler.opt.get("public"), path


async def test_no_secret_is_logged_or_traced(
    world: World, recorder: Recorder, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = await secret_addresses(world)
    routes = {path for _, path in PUBLIC if "{" in path} - {"/static/{name}"}
    assert set(addresses) == routes, "every route with a secret is tried"
    size, statuses = recorder.size(), set()
    async with world.client() as client:
        for path in [*addresses.values(), *(f"{span}/more" for span in addresses.values())]:
            for method in METHODS:
                for headers, body in SENT:
                    for shape, query in ((JSON, ""), (HTML | OWN, f"?t={path}")):
                        answer = await client.request(
                            method, f"{path}{query}", headers=shape | headers, content=body
                        )
                        statuses.add(answer.status_code)
        statuses |= await provoke(world, client, addresses, monkeypatch)
    assert {400, 403, 404, 405, 413, 415, 422, 429, 500} <= statuses
    text = recorder.since(size)
    assert text.count('"event": "request"') > 400
    tokens = [path.rpartition("/")[2] for path in addresses.values()]
    for token in tokens:
        assert token not in text
    for prefix in (route.partition("{")[0] for route in routes):
        assert f'"path": "{prefix}{HIDDEN}"' in text
    assert recorder.leaks(size) == []
    traced = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "POST /password-reset/{token" in traced
    assert not any(token in traced for token in tokens)


async def provoke(
    world: World, client: httpx.AsyncClient, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> set[int]:
    """A 500 whose exception repeats the secrets, and a 429."""
    hook, link = addresses["/hooks/{token}"], addresses["/password-reset/{token}"]

    async def fail(*_: Any) -> None:
        raise RuntimeError(f"no answer for {link} and {hook.rpartition('/')[2]} with password='{PASSWORD}'")

    statuses = set()
    with monkeypatch.context() as patch:
        patch.setattr(world.app.state.directory, "by_reset", fail)
        patch.setitem(world.app.state, "webhook_by_token", fail)
        for method, path in (("GET", link), ("POST", link), ("POST", hook)):
            body = {"new_password": "a long enough phrase"}
            statuses.add((await client.request(method, path, json=body)).status_code)
    with monkeypatch.context() as patch:
        patch.setitem(world.app.state, "hook_limiter", Limiter(None, "few", 1, 3600))
        await client.post(hook, json={})
        statuses.add((await client.post(hook, json={})).status_code)
    return statuses


async def test_credentials_are_not_logged_wherever_they_are_sent(world: World, recorder: Recorder) -> None:
    """Sessions, access tokens and passwords in headers, cookies, queries and bodies, right and wrong."""
    owner = await world.person()
    size = recorder.size()
    async with world.script(owner) as script, world.browser(owner) as browser:
        token = (await script.post("/tokens", json={"name": "x", "scopes": ["view"]})).json()["token"]
        session = script.headers["authorization"].partition(" ")[2]
        for secret in (token, session, *browser.cookies.values()):
            for path in ("/", "/nothing", "/contacts/x", f"/contacts/{secret}", f"/{secret}"):
                for method in ("GET", "DELETE", "POST"):
                    await browser.request(method, f"{path}?token={secret}", content=secret)
                    await script.request(method, path, headers={"authorization": f"Bearer {secret}x"})
        world.app.state.throttle = Throttle(None, pair=2)
        for password in (PASSWORD, f"{PASSWORD} wrong"):
            for body in ({"email": owner.email, "password": password}, {"password": password}):
                await script.post("/sessions", json=body)
                await browser.post("/sessions", data=body)
    assert recorder.since(size).count('"event": "request"') > 100
    assert recorder.leaks(size) == []


async def test_records_of_all_loggers_are_redacted(world: World, recorder: Recorder) -> None:
    size = recorder.size()
    error = ValueError(f"Authorization: Bearer abcabc for {BASE}/hooks/abcabc")
    logging.getLogger("uvicorn.error").error("failed for password=%s", "abcabc", exc_info=error)
    structlog.get_logger("x").error("failed", password="abcabc", path="/hooks/abcabc", exc_info=error)
    text = recorder.since(size)
    assert text.count("ValueError") == 2
    assert "abcabc" not in text


async def test_an_error_in_a_span_is_redacted(spans: InMemorySpanExporter) -> None:
    with tracing.TRACER.start_as_current_span("GET /hooks/abcabc") as current:
        current.set_attributes({"url.path": "/hooks/abcabc", "token": "abcabc"})
        current.record_exception(ValueError("password=abcabc"))
        current.set_status(StatusCode.ERROR, "password=abcabc")
    (finished,) = spans.get_finished_spans()
    assert "abcabc" not in finished.to_json()
    assert finished.events[0].name == "exception"
