"""The one egress function for HTTP."""

from app.ports import Call, Outcome, Refused


class HttpCaller:
    def __init__(self, *, allow_loopback: bool) -> None:
        self.allow_loopback = allow_loopback

    async def call(self, call: Call) -> Outcome:
        return Refused(f"{call.url} is not reachable", permanent=False)
