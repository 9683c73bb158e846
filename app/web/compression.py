"""Compresses responses with Brotli or gzip, as `Accept-Encoding` asks. `CompressingSend` is the entry point.

Text of at least a kilobyte is compressed, in whole: a body in parts passes as it is, and so does one with an
ETag, which names these bytes (static files are compressed once, see `app.web.static`).

The length of a compressed body depends on what it repeats. Another site can open our pages with guesses in
their addresses, and who sees the length on the wire learns whether a guess is on the page (BREACH). So two
kinds of responses are never compressed: those that contain a secret (`shows_secret=True` at the route, or a
secret in the path), and those to requests that another site caused.

Litestar's CompressionConfig (2.25) doesn't fit: it takes `br;q=0` for consent, compresses images and what is
compressed already, and sees neither errors outside of routes nor where a request came from.
"""

import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import brotli
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, HTTPScope, Message, Send

from app.redaction import SECRET_PARAMETERS
from app.web import content_negotiation
from app.web.csrf_cors import bearer

Coding = Literal["br", "gzip"]
CODINGS: tuple[Coding, ...] = ("br", "gzip")  # the better one first
SMALLEST = 1000  # bytes; less fits into one packet anyway
# For the list of contacts (58 kB of HTML): Brotli 8.3 kB in 0.3 ms, gzip 9.0 kB in 0.25 ms.
BROTLI_QUALITY, GZIP_LEVEL = 4, 4
SMALLEST_BROTLI_QUALITY, SMALLEST_GZIP_LEVEL = 11, 9  # for what is compressed once
WINDOW_BITS = 18  # 256 kB: more than a page
GZIP_FORMAT = 31  # of zlib: its largest window, with the header of gzip
OTHER_SITES = ("cross-site", "same-site")


@lru_cache(maxsize=256)
def choose_coding(accept_encoding: str) -> Coding | None:
    """The coding that a client prefers by its Accept-Encoding header; None for no compression."""
    weights = dict(_weights(accept_encoding))
    others = weights.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, others))
    weight = weights.get(best, others)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def _weights(accept_encoding: str) -> Iterator[tuple[str, float]]:
    """Each coding of the header with its weight; an unreadable weight is 0."""
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        name, _, number = parameter.partition("=")
        try:
            weight = float(number) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        yield coding.strip(), weight


def is_compressible(media_type: str) -> bool:
    """Whether a media type is text: HTML, CSS, scripts, JSON, CSV, SVG."""
    kind = media_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind.endswith(("/json", "+json", "/javascript", "+xml"))


def compress(content: bytes, coding: Coding, *, smallest: bool = False) -> bytes:
    """The content in that coding. `smallest` takes a hundred times as long and saves a fifth."""
    if coding == "br":
        quality = SMALLEST_BROTLI_QUALITY if smallest else BROTLI_QUALITY
        return bytes(brotli.compress(content, quality=quality, lgwin=WINDOW_BITS))
    return zlib.compress(content, SMALLEST_GZIP_LEVEL if smallest else GZIP_LEVEL, GZIP_FORMAT)


def may_compress(scope: HTTPScope) -> bool:
    """Whether the length of the response may depend on its content, see above."""
    routed = "route_handler" in scope  # not for a 404
    if routed and scope["route_handler"].opt.get("shows_secret"):
        return False
    if SECRET_PARAMETERS & scope.get("path_params", {}).keys():
        return False
    # No browser adds a bearer token by itself, so another site can't cause a request that has one.
    return bearer(scope) or content_negotiation.header(scope, b"sec-fetch-site") not in OTHER_SITES


class CompressingSend:
    """The `send` of one request. It holds the start of the response until its body is there."""

    def __init__(self, send: Send, scope: HTTPScope) -> None:
        self._send, self._scope = send, scope
        self._start: HTTPResponseStartEvent | None = None

    async def __call__(self, message: Message) -> None:
        """Sends a message of the response, compressed if it may be."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._compress(start, message)
            await self._send(start)
        await self._send(message)

    def _compress(self, start: HTTPResponseStartEvent, message: HTTPResponseBodyEvent) -> None:
        content = message["body"]
        if len(content) < SMALLEST:
            return
        headers = [(name.lower(), value) for name, value in start["headers"]]
        values = dict(headers)
        media_type = values.get(b"content-type", b"").decode("latin-1")
        fixed = b"content-encoding" in values or b"etag" in values
        if fixed or not is_compressible(media_type) or not may_compress(self._scope):
            return
        headers.append((b"vary", b"Accept-Encoding"))
        coding = choose_coding(content_negotiation.header(self._scope, b"accept-encoding"))
        if coding is not None:
            message["body"] = compress(content, coding)
            headers = [header for header in headers if header[0] != b"content-length"]
            headers.append((b"content-length", str(len(message["body"])).encode()))
            headers.append((b"content-encoding", coding.encode()))
        start["headers"] = headers
