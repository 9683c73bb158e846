"""The JSON of the probes."""

from typing import Literal

import msgspec


class Live(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Workers(msgspec.Struct):
    """Whether workers run. `silent`: no worker had a heartbeat for 15 seconds, so no enrollment moves and
    nothing is sent; `held`: the same, because the engine is held, after a restore or by hand, and waits for
    an operator; `unknown`: the database cannot be read. `seconds` since the latest heartbeat. The field
    `held` is set for silent workers as well."""

    status: Literal["ok", "silent", "held", "unknown"]
    workers: int
    seconds: float | None
    held: bool = False


class Ready(msgspec.Struct):
    """Whether requests can be served. Without Redis they can, only wake-ups are late: `degraded`."""

    status: Literal["ok", "degraded", "down"]
    database: Literal["ok", "down"]
    redis: Literal["ok", "down"]
