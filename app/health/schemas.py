"""What the probes answer."""

from typing import Literal

import msgspec


class Live(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Ready(msgspec.Struct):
    """Whether requests can be served. Without Redis they can, only bells ring late: `degraded`."""

    status: Literal["ok", "degraded", "down"]
    database: Literal["ok", "down"]
    redis: Literal["ok", "down"]
