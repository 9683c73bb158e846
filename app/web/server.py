"""Ends the web server without breaking a request, so that servers behind a proxy can be restarted in turn.

On SIGTERM `WebServer` first goes on for `drain_seconds`, while `/health/ready` says 503 and a balancer that
asks takes it out. Then it stops listening: a new connection is refused, and the proxy takes another server.
Connections that were made before are answered, and closed after their answer (`app/web/connections.py`)."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import uvicorn

STARTUP_FAILURE = 3  # uvicorn's exit code


class WebServer(uvicorn.Server):
    """uvicorn's server, with an end in the order above."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float = 0) -> None:
        super().__init__(config)
        self.drain_seconds = drain_seconds

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until a signal. Exits with an error when the server could not start."""
        with suppress(KeyboardInterrupt):
            super().run(sockets)
        if not self.started:
            sys.exit(STARTUP_FAILURE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, stops listening, and waits until all connections are closed."""
        self.config.loaded_app.state.ending = True
        clock = asyncio.get_running_loop().time
        until = clock() + self.drain_seconds
        while clock() < until and not self.force_exit:
            await asyncio.sleep(0.1)
            await self.on_tick(0)  # the date in the answers
        await self._stop_listening()
        await super().shutdown(sockets)

    async def _stop_listening(self) -> None:
        """Closes the listening sockets, and serves the connections that the system has accepted but not
        handed over yet: with the listening socket they would be reset, and so would their requests."""
        accepted: list[socket.socket] = []
        for server in self.servers:
            copies = [socket.socket(fileno=os.dup(listener.fileno())) for listener in server.sockets]
            server.close()
            for copy in copies:
                # OSError: none is left, a client gave up, or no file descriptor is free; the end goes on
                with copy, suppress(OSError):
                    while True:
                        accepted.append(copy.accept()[0])
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        """A connection, as uvicorn makes it."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
