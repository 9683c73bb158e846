"""What the probes answer."""

from typing import Literal

import msgspec


class Live(msgspec.Struct):
    """The process runs."""

    status: Literal["ok"] = "ok"


class Workers(msgspec.Struct):
    """Whether anybody works. `silent`: no worker was heard of for 15 seconds, so nobody moves and nothing is
    sent; `held`: the same, because the engine is held, after a restore or by hand, and waits for a person;
    `unknown`: the database cannot be asked. `seconds` since the last one was heard of. The field `held` says
    so of silent workers as well."""

    status: Literal["ok", "silent", "held", "unknown"]
    workers: int
    seconds: float | None
    held: bool = False


class Ready(msgspec.Struct):
    """Whether requests can be served. Without Redis they can, only bells ring late: `degraded`."""

    status: Literal["ok", "degraded", "down"]
    database: Literal["ok", "down"]
    redis: Literal["ok", "down"]
