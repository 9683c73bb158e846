"""Whether a body is still to arrive, so that a request holds no connection to the database meanwhile.

A client may send as slowly as `connections` allows: minutes for a file. `Authenticate` waits for a small body
before it opens the unit of work, which saves a statement; before a large one it refuses callers first."""

from typing import Literal

from litestar.types import HTTPRequestEvent, Receive, ReceiveMessage, Scope

from app.web import content_negotiation
from app.web.request import ClientGone

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})  # the body of another method is never read
SMALL = 64_000  # bytes; as long as the form of a route without limits of its own


def announced_body(scope: Scope) -> Literal["none", "small", "large"]:
    """What the headers say about the body. One of unknown length counts as large, and so does one that the
    client sends only when asked to (`Expect: 100-continue`)."""
    if scope.get("method") not in WITH_BODY:
        return "none"
    if content_negotiation.header(scope, b"transfer-encoding"):
        return "large"
    length = content_negotiation.header(scope, b"content-length")
    if length in ("", "0"):
        return "none"
    small = length.isdecimal() and int(length) <= SMALL
    return "small" if small and not content_negotiation.header(scope, b"expect") else "large"


async def arrived(receive: Receive) -> Receive:
    """Waits for a small body; the `receive` that it returns begins with the whole of it. Raises `ClientGone`
    when it breaks off."""
    body, more = bytearray(), True
    while more and len(body) <= SMALL:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone("The client closed the connection.")
        body += message["body"]
        more = message["more_body"]
    waiting: list[HTTPRequestEvent] = [{"type": "http.request", "body": bytes(body), "more_body": more}]

    async def replay() -> HTTPRequestEvent | ReceiveMessage:
        return waiting.pop() if waiting else await receive()

    return replay
