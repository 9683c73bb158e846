"""SMS and chat messages: what goes out to the provider, and the demo's catcher that takes it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest

from app.engine.core.steps import SendEmail
from app.integrations.http import OutboundHttpClient
from app.integrations.sms_chat import HttpMessageProvider
from app.mailbox.message_catcher import serve_messages
from app.ports import HttpRequest, Message, Refused, Sent
from app.settings import Settings
from tests.support.http_server import listener
from tests.support.scenario import Stage


def message(channel: Literal["sms", "chat"] = "sms", account: object = "a1") -> Message:
    return Message(channel=channel, to="+4915112345678", text="Grüße ✓", key="e1:3", account_id=str(account))


@pytest.fixture
async def base(stage: Stage) -> AsyncIterator[str]:
    async with serve_messages(stage.runtime, 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("channel", "body"),
    [
        ("sms", {"to": "+4915112345678", "body": "Grüße ✓"}),
        ("chat", {"channel": "+4915112345678", "text": "Grüße ✓"}),
    ],
)
async def test_contents_of_the_message(channel: Literal["sms", "chat"], body: dict[str, str]) -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        received.extend([head, await reader.readexactly(length)])
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async with listener(serve) as port:
        url = f"http://127.0.0.1:{port}/v1/"
        settings = Settings(sms_url=url, chat_url=url, sms_token="s3", chat_token="s3")
        outcome = await HttpMessageProvider(settings).deliver(message(channel))
    assert outcome == Sent({"status": 202, "answer": "{}"})
    lines = received[0].decode().lower().split("\r\n")
    assert lines[0] == "post /v1/messages http/1.1"
    assert {"idempotency-key: e1:3", "authorization: bearer s3", "x-switchyard-account: a1"} < set(lines)
    assert json.loads(received[1]) == body


async def test_internal_address_is_for_the_operator_only() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with listener(serve) as port:
        call = HttpRequest(url=f"http://127.0.0.1:{port}/", method="POST", headers={}, body="{}", key="k")
        assert isinstance(await OutboundHttpClient(allow_loopback=False).call(call), Refused)
        assert isinstance(await OutboundHttpClient(allow_loopback=False, operator=True).call(call), Sent)


@pytest.mark.parametrize(("channel", "name"), [("sms", "SMS_URL"), ("chat", "CHAT_URL")])
async def test_without_a_provider_the_error_names_the_setting(
    channel: Literal["sms", "chat"], name: str
) -> None:
    outcome = await HttpMessageProvider(Settings()).deliver(message(channel))
    assert isinstance(outcome, Refused)
    assert outcome.permanent
    assert name in outcome.error


async def test_catcher_stores_both_channels(stage: Stage, base: str) -> None:
    provider = HttpMessageProvider(Settings(sms_url=f"{base}/sms", chat_url=f"{base}/chat"))
    for channel in ("sms", "chat"):
        assert isinstance(await provider.deliver(message(channel, stage.account)), Sent)
    rows = await stage.sql(
        "select channel, recipient, body, message_id from mailbox_messages where account_id = $1 order by id",
        stage.account,
    )
    assert [tuple(row) for row in rows] == [
        ("sms", "+4915112345678", "Grüße ✓", "e1:3"),
        ("chat", "+4915112345678", "Grüße ✓", "e1:3"),
    ]
    for unknown_id in ("a1", "0197a000-0000-7000-8000-000000000000"):
        refused = await provider.deliver(message("sms", unknown_id))
        assert isinstance(refused, Refused)
        assert "names no account" in refused.error


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sms/messages", '{"to": "", "body": "x"}', 422),
        ("POST", "/sms/messages", "no json", 422),
        ("POST", "/chat/messages", '{"to": "a", "body": "x"}', 422),
        ("POST", "/messages", "{}", 404),
        ("GET", "/sms/messages", "", 405),
        ("POST", "/sms/messages", '{"to": "1", "body": "' + "x" * 100_001 + '"}', 413),
    ],
)
async def test_catcher_refuses_invalid_requests(
    base: str, method: str, path: str, body: str, status: int
) -> None:
    caller = OutboundHttpClient(allow_loopback=True)
    outcome = await caller.call(HttpRequest(url=base + path, method=method, headers={}, body=body, key="k"))
    assert isinstance(outcome, Refused)
    assert f"answered {status}" in outcome.error


async def effect_of_kind(stage: Stage, kind: str, payload: dict[str, Any]) -> Any:
    """An effect whose enrollment is at a step that sends."""
    from tests.support.pending_effects import contact_with_effect

    person = await contact_with_effect(stage, SendEmail(subject="Hello", body="Hi"))
    await stage.sql(
        "update effects set kind = $2, payload = $3::jsonb where contact_id = $1",
        person, kind, json.dumps(payload),
    )  # fmt: skip
    return person


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("sms", {"to": "+49151", "body": "Hi"}), ("chat", {"channel": "+49151", "text": "Hi"})],
)
async def test_effects_of_both_kinds_go_to_the_provider(
    stage: Stage, kind: str, payload: dict[str, Any]
) -> None:
    person = await effect_of_kind(stage, kind, payload)
    await stage.drain()
    [sent] = stage.outside.messages
    effect = await stage.effect(person)
    assert (sent.channel, sent.to, sent.text, sent.key) == (kind, "+49151", "Hi", effect["idempotency_key"])
    assert effect["status"] == "sent"
    assert (await stage.enrollment(person))["status"] == "completed"
