"""The egress function: its address policy, its answers, its limits, against a real listener."""

import asyncio
import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from app.integrations import http as egress
from app.integrations.address_policy import blocked_reason
from app.integrations.http import OutboundHttpClient, retry_after
from app.ports import Refused, Sent, Unknown
from tests.support.http_server import answering, call, listener


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::",  # noqa: S104 -- not bound, refused
        "10.1.2.3", "172.16.0.1", "172.31.255.255",
        "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.9",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001::1", "fc00::1",
        "fd00:ec2::254", "168.63.129.16", "::ffff:0:127.0.0.1", "::ffff:0:a00:1", "::ffff:0:a9fe:a9fe",
        "64:ff9b:1::808:808", "64:ff9b:1:7f00:0:100::", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1",
        "::ffff:0:127.0.0.1%eth0", "::1%lo", "::10.0.0.1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "fe80::5efe:808:808", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
    ],
)  # fmt: skip
def test_blocked_addresses(address: str) -> None:
    assert blocked_reason(address, allow_loopback=False) is not None


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "::ffff:0:808:808", "64:ff9b::808:808",
        "172.32.0.1",
    ],
)  # fmt: skip
def test_public_addresses(address: str) -> None:
    assert blocked_reason(address, allow_loopback=False) is None


def test_setting_allows_loopback_only() -> None:
    assert blocked_reason("127.0.0.1", allow_loopback=True) is None
    assert blocked_reason("::1", allow_loopback=True) is None
    assert blocked_reason("10.0.0.1", allow_loopback=True) is not None
    for form in ("::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"):
        assert blocked_reason(form, allow_loopback=True) is not None


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:0:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::1%25lo]",
        "0x7f.1",
        "017700000001",
        "127.0.0.1.",
        "①②⑦.0.0.1",
    ],
)
async def test_no_spelling_of_loopback_reaches_a_listener(host: str) -> None:
    received: list[bytes] = []
    async with listener(answering("200 OK", received)) as port:
        outcome = await OutboundHttpClient(allow_loopback=False).call(call(f"http://{host}:{port}/"))
    assert isinstance(outcome, Refused)
    assert received == []


async def test_a_name_with_one_bad_address_is_refused_and_looked_up_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []

    async def lookup(host: str, port: int, **_: Any) -> list[Any]:
        looked.append(host)
        return [
            (socket.AF_INET, 1, 6, "", ("93.184.216.34", port)),
            (socket.AF_INET, 1, 6, "", ("10.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    outcome = await OutboundHttpClient(allow_loopback=False).call(call("http://rebind.example/"))
    assert isinstance(outcome, Refused)
    assert outcome.permanent
    assert looked == ["rebind.example"]


async def test_contents_of_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    received: list[bytes] = []
    async with listener(answering("200 OK", received, body=b"thanks")) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(
            call(
                f"http://localhost:{port}/hook?x=1",
                headers={"X-A": "b", "Host": "evil", "Idempotency-Key": "z"},
            )
        )
    assert outcome == Sent({"status": 200, "answer": "thanks"})
    lines = received[0].decode().split("\r\n")
    assert lines[0] == "POST /hook?x=1 HTTP/1.1"
    names = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines[1:] if line}
    assert names["host"] == f"localhost:{port}"
    assert names["idempotency-key"] == "e1:3"
    assert names["x-a"] == "b"
    assert names["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "permanent"),
    [
        ("400 No", True), ("401 No", True), ("404 No", True), ("410 Gone", True), ("422 No", True),
        ("408 Slow", False), ("425 Early", False), ("429 Many", False), ("500 Oh", False), ("503 Oh", False),
        ("302 There", True), ("307 There", True),
    ],
)  # fmt: skip
async def test_answers(status: str, permanent: bool) -> None:
    received: list[bytes] = []
    serve = answering(status, received, headers="Retry-After: 120\r\nLocation: http://127.0.0.1:1/\r\n")
    async with listener(serve) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, Refused)
    assert outcome.permanent is permanent
    assert outcome.after == (None if permanent else 120.0)
    assert len(received) == 1


def test_retry_after_as_date_and_capped() -> None:
    now = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
    assert retry_after("Tue, 24 Nov 2026 09:02:00 GMT", now) == 120.0
    assert retry_after("Tue, 24 Nov 2020 09:02:00 GMT", now) == 0.0
    assert retry_after("999999999") == 86_400.0
    assert retry_after("soon") is None


async def test_refused_connection_may_be_retried() -> None:
    async with listener(answering("200 OK", [])) as port:
        pass
    outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, Refused)
    assert not outcome.permanent


@pytest.mark.parametrize("mode", ["hangs", "hangs up", "drips"])
async def test_accepted_request_without_response_is_in_doubt(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(egress, "TOTAL_SECONDS", 0.4)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        while mode != "hangs up":
            if mode == "drips":
                writer.write(b"H")
            await asyncio.sleep(0.1)
            if writer.is_closing():
                break
        writer.close()

    async with listener(serve) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, Unknown)


async def test_an_endless_body_is_read_to_its_limit() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        try:
            for _ in range(1000):
                writer.write(b"x" * 10_000)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    async with listener(serve) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(call(f"http://127.0.0.1:{port}/"))
    assert isinstance(outcome, Sent)
    assert len(str(outcome.detail["answer"])) == egress.MOST_KEPT


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://user:pass@example.com/",
        "gopher://x",
        "no url",
        "http://[::1",
    ],
)
async def test_invalid_addresses(url: str) -> None:
    outcome = await OutboundHttpClient(allow_loopback=True).call(call(url))
    assert isinstance(outcome, Refused)
    assert outcome.permanent


async def test_an_error_repeats_no_header_value_and_no_token() -> None:
    """The other side may answer with what it was sent, and its words are shown to every member."""
    body = b"no key k3y-of-theirs, ?token=abcabc"
    async with listener(answering("401 Unauthorized", [], body=body)) as port:
        outcome = await OutboundHttpClient(allow_loopback=True).call(
            call(f"http://127.0.0.1:{port}/", headers={"X-Key": "k3y-of-theirs"})
        )
    assert isinstance(outcome, Refused)
    assert "401" in outcome.error
    assert not any(secret in outcome.error for secret in ("k3y-of-theirs", "abcabc"))


async def test_a_line_break_in_a_header_is_refused() -> None:
    outcome = await OutboundHttpClient(allow_loopback=True).call(
        call("http://127.0.0.1:1/", headers={"X": "a\r\nB: c"})
    )
    assert isinstance(outcome, Refused)
    assert outcome.permanent
