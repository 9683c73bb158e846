"""The only client for outbound HTTP calls: webhooks, SMS and chat."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx
import msgspec

from app.integrations.address_policy import blocked_reason
from app.ports import CallOutcome, HttpRequest, Refused, Sent, Unknown
from app.redaction import redact

CONNECT_SECONDS = 3.0
TOTAL_SECONDS = 10.0
MOST_BODY = 100_000
MOST_KEPT = 2_000
MAX_RETRY_AFTER_SECONDS = 86_400.0
RETRYABLE_STATUSES = (408, 425, 429)
# Headers that the client sets itself, or that are about the connection rather than the message.
_OURS = {
    "connection", "content-length", "expect", "host", "idempotency-key", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
}  # fmt: skip

# Headers whose values are no secrets.
_PLAIN = {"accept", "accept-language", "content-type"}


class OutboundHttpClient:
    """An HTTP client that calls only an address that it looked up and checked: the connection is pinned to
    it; redirects and proxies of the environment are not followed.

    `operator` is for addresses from the settings: the operator who sets them runs the machines, so they may
    be inside the network. All other rules hold for them too."""

    def __init__(self, *, allow_loopback: bool, operator: bool = False) -> None:
        self.allow_loopback, self.operator = allow_loopback, operator
        self._tls = ssl.create_default_context()  # created once, because creating it takes as long as a call

    async def call(self, call: HttpRequest) -> CallOutcome:
        """The outcome of one call, within ten seconds in all. Errors are stored and shown, and the other side
        may repeat what it received, so they are redacted."""
        outcome = await self._outcome(call)
        if isinstance(outcome, Sent):
            return outcome
        secrets = [value for name, value in call.headers.items() if name.lower() not in _PLAIN]
        return msgspec.structs.replace(outcome, error=redact(outcome.error, *secrets))

    async def _outcome(self, call: HttpRequest) -> CallOutcome:
        flight = _Flight()
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                return await self._call(call, flight)
        except _Refusal as error:
            return Refused(str(error), permanent=True, error_class="not_allowed")
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            return Refused(f"The URL can't be called: {error}", permanent=True, error_class="not_allowed")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, socket.gaierror) as error:
            return unreachable(call.url, error)
        except (httpx.TransportError, TimeoutError, OSError) as error:
            return flight.lost(call.url, error)

    async def _call(self, call: HttpRequest, flight: "_Flight") -> CallOutcome:
        url = httpx.URL(call.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise _Refusal("The URL must start with http:// or https:// and include a host.")
        if url.userinfo:
            raise _Refusal("The URL must not contain a username or password. Put credentials in a header.")
        port = url.port or (443 if url.scheme == "https" else 80)
        address = await self._resolve(url.host, port)
        headers = headers_of(call)
        headers["Host"] = url.netloc.decode("ascii")
        # Pinned: the name was looked up and checked once; SNI and the certificate still use the name.
        request = httpx.Request(
            call.method,
            url.copy_with(host=address, port=port),
            headers=headers,
            content=call.body.encode() if call.body and call.method != "GET" else None,
            extensions={
                "sni_hostname": url.raw_host.decode("ascii"),
                "trace": flight.trace,
                "timeout": httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS).as_dict(),
            },
        )
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, verify=self._tls) as client:
            response = await client.send(request, stream=True)
            try:
                outcome = outcome_of_response(
                    response.status_code, response.headers, body := await _read(response)
                )
                return keep_json_body(outcome, body) if call.keep else outcome
            finally:
                await response.aclose()

    async def _resolve(self, host: str, port: int) -> str:
        """The first address of the host, if every one of its addresses may be called."""
        loop = asyncio.get_running_loop()
        entries = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
        for address in () if self.operator else addresses:
            why = blocked_reason(address, allow_loopback=self.allow_loopback)
            if why is not None:
                raise _Refusal(f"{host} can't be called: {why}.")
        return addresses[0]


class _Refusal(Exception):
    """The client refuses the call before it sends anything."""


class _Flight:
    """Whether sending has begun: an error after that leaves the effect in doubt."""

    def __init__(self) -> None:
        self.left = False

    async def trace(self, event: str, _info: object) -> None:
        if event.endswith("send_request_headers.started"):
            self.left = True

    def lost(self, url: str, error: BaseException) -> CallOutcome:
        if self.left:
            message = f"{_host(url)} accepted the request but didn't answer: {_error_text(error)}"
            return Unknown(message, error_class="no_answer")
        return unreachable(url, error)


def unreachable(url: str, error: BaseException) -> Refused:
    message = f"{_host(url)} cannot be reached: {_error_text(error)}"
    return Refused(message, permanent=False, error_class="unreachable")


def headers_of(call: HttpRequest) -> dict[str, str]:
    """The headers of the call without those that the client sets itself. Raises ValueError for a line break
    in one."""
    headers = {}
    for name, value in call.headers.items():
        if any(mark in name + value for mark in "\r\n\x00"):
            raise ValueError(f"the header {name[:40]!r} contains a line break")
        if name.strip().lower() not in _OURS:
            headers[name.strip()] = value
    names = {name.lower() for name in headers}
    if call.body and call.method != "GET" and "content-type" not in names:
        headers["Content-Type"] = "application/json"
    return headers | {"Idempotency-Key": call.key, "User-Agent": "Switchyard", "Accept-Encoding": "identity"}


def outcome_of_response(status: int, headers: Mapping[str, str], body: str) -> CallOutcome:
    """The outcome of a response: 2xx is sent; 408, 425, 429 and 5xx may be retried, after `Retry-After` if
    the server sent one; everything else is a permanent failure."""
    if 200 <= status < 300:
        return Sent({"status": status, "answer": body[:MOST_KEPT]})
    error_class = f"http_{status}"
    message = f"The server answered {status}. {' '.join(body.split())[:300]}".strip()
    if status == 410:
        message = f"{message} This URL no longer exists. Change it in the step, or delete the step.".strip()
    if status in RETRYABLE_STATUSES or status >= 500:
        return Refused(
            message, permanent=False, after=retry_after(headers.get("retry-after")), error_class=error_class
        )
    if 300 <= status < 400:
        there = headers.get("location", "")[:200]
        message = (
            f"The server answered {status}, a redirect to {there}. Redirects aren't followed: use that URL."
        )
    return Refused(message, permanent=True, error_class=error_class)


def keep_json_body(outcome: CallOutcome, body: str) -> CallOutcome:
    """The detail to store of a sent call, with the response parsed as `body` if it is JSON that the database
    can hold."""
    if not isinstance(outcome, Sent) or "\\u0000" in body:
        return outcome
    try:
        return Sent({"status": outcome.detail["status"], "body": msgspec.json.decode(body)})
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return outcome


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header, at most a day; None if it cannot be read."""
    if not value:
        return None
    if value.strip().isdecimal():
        return min(float(value), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, min((moment - (now or datetime.now(UTC))).total_seconds(), MAX_RETRY_AFTER_SECONDS))


async def _read(response: httpx.Response) -> str:
    """The beginning of the body as received; nothing is decompressed."""
    body = bytearray()
    async for chunk in response.aiter_raw(16_384):
        body += chunk
        if len(body) >= MOST_BODY:
            break
    return bytes(body[:MOST_BODY]).decode("utf-8", "replace").replace("\x00", "")


def _host(url: str) -> str:
    return (urlsplit(url).hostname or url)[:100]


def _error_text(error: BaseException) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    return str(error)[:200] or type(error).__name__
