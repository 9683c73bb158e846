"""The JSON of the health probes."""

from typing import Literal

import msgspec


class Live(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Workers(msgspec.Struct):
    """Whether workers run. `silent`: no worker had a heartbeat for 15 seconds, so no enrollment moves and
    nothing is sent. `held`: the same, because the engine was held after a restore or by an operator, who has
    to release it. `unknown`: the database cannot be read. `heartbeat_age_seconds` is the time since the
    latest heartbeat. The field `held` is set for silent workers as well."""

    status: Literal["ok", "silent", "held", "unknown"]
    workers: int
    heartbeat_age_seconds: float | None
    held: bool = False


class Ready(msgspec.Struct):
    """Whether the server can handle requests. `degraded`: it can, but without Redis workers start late.
    `ending`: it is shutting down, and answers only until balancers have noticed."""

    status: Literal["ok", "degraded", "down", "ending"]
    database: Literal["ok", "down"]
    redis: Literal["ok", "down"]
