"""A server of processes: it imports the program once and forks a worker or a web server when told to.

A worker that is killed every two seconds would spend its life importing. What is forked is the same program
from its first line on (`litestar worker`, `litestar web`), a process of its own that can be killed, stopped
and looked at; only the imports are done already. It also means that a run tests one state of the sources.

    python -m scripts._lib.faults.fork_server        # one JSON object per line in, one pid per line out
"""

import gc
import inspect
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from scripts._lib.dev.app_commands import command
from scripts._lib.dev.processes import Program, spawn
from scripts._lib.dev.virtualenv import ROOT

CLOCK = "CHAOS_CLOCK"  # for one process: by how many seconds its clock is wrong, one after the other
JUMP_EVERY = 3.0  # seconds until the next of them
OVERFLOW = "CHAOS_POOL_OVERFLOW"  # for one process: how many connections there may be beyond its pool
FAULT = "CHAOS_FAULT"  # for one process: a `Fault` of tests/faults/injector.py as JSON
PRELOADED = ("jobs.worker", "app.main", "uvicorn", "uvicorn.protocols.http.httptools_impl", "uvloop")


def serve() -> None:
    """Fork what each line asks for; when the line is cut, end what was forked."""
    for name in PRELOADED:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    forked: list[int] = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become(json.loads(line))
        forked.append(pid)
        print(pid, flush=True)
    for pid in forked:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def become(order: dict[str, Any]) -> None:
    """This process is the asked one from here on, and never returns."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for here, there in ((null, 0), (log, 1), (log, 2)):
            os.dup2(here, there)
        os.environ.update(order["env"])
        if CLOCK in os.environ:
            shift_clock([float(one) for one in os.environ[CLOCK].split(",")])
        if OVERFLOW in os.environ:
            limit_overflow(int(os.environ[OVERFLOW]))
        if FAULT in os.environ:
            install_fault(os.environ[FAULT])
        program = import_module("app.cli")
        if order["what"] == "worker":
            program.worker.callback()
        else:
            program.web.callback(host="127.0.0.1", port=order["port"])
        code = 0
    except BaseException:  # noqa: BLE001 -- the fork must not go on with its parent's loop, whatever happens
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def shift_clock(offsets: list[float]) -> None:
    """What this process takes for the time is wrong by so many seconds from now on, and jumps to the next of
    them each `JUMP_EVERY` seconds. Raises RuntimeError when the program reads another clock than these."""
    begun, real, real_ns = time.monotonic(), time.time, time.time_ns

    def offset() -> float:
        return offsets[int((time.monotonic() - begun) / JUMP_EVERY) % len(offsets)]

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + int(offset() * 1e9)
    shifted = shifted_datetime(offset)
    for name, module in list(sys.modules.items()):
        ours = name.split(".")[0] in ("app", "db", "jobs", "saq")
        # Only where it is asked for the time: elsewhere it is a type, by which rows and bodies are read.
        if ours and vars(module).get("datetime") is datetime and "datetime.now(" in inspect.getsource(module):
            vars(module)["datetime"] = shifted
    stamp = (import_module("db.ids").uuid7().int >> 80) / 1000
    if abs(stamp - real() - offsets[0]) > 2:
        raise RuntimeError(f"new ids do not carry the wrong clock: {stamp - real():.1f} s")


def shifted_datetime(offset: Callable[[], float]) -> type[datetime]:
    """A `datetime` whose `now` is wrong; what it makes are plain ones, and plain ones are instances of it."""

    class Either(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, datetime)

    class Shifted(datetime, metaclass=Either):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one
            return datetime.now(tz) + timedelta(seconds=offset())

    return Shifted


def install_fault(fault: str) -> None:
    """This process breaks at a point of app/fault_hook.py."""
    from tests.faults.injector import Fault, install

    install(msgspec.json.decode(fault, type=Fault))


def limit_overflow(most: int) -> None:
    """A pool gives out so many connections more than its size, so that a small one can really be empty."""
    module: Any = import_module("db.connection")
    module.create_async_engine = partial(_limited, module.create_async_engine, most)


def _limited(make: Callable[..., Any], most: int, *place: Any, **options: Any) -> Any:
    return make(*place, **options | ({"max_overflow": most} if "max_overflow" in options else {}))


class Forks:
    """The harness's end of it."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.env, self.log = env, log

    def start(self) -> None:
        """Import everything; takes a second or two."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scripts._lib.faults.fork_server"],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._heard("ready")

    def _heard(self, expected: str = "") -> str:
        assert self.process.stdout is not None  # noqa: S101 -- it was asked for
        line = self.process.stdout.readline().strip()
        if not line or (expected and line != expected):
            raise RuntimeError(f"the fork server ended: see {self.log}")
        return line

    def fork(self, what: str, log: Path, env: dict[str, str], port: int = 0) -> int:
        """The pid of a new process."""
        assert self.process.stdin is not None  # noqa: S101 -- it was asked for
        order = {"what": what, "log": str(log), "port": port, "env": env}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._heard())

    def stop(self) -> None:
        """End it and everything that it has forked."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(10)


def plain(what: str, env: dict[str, str], log: Path, *more: str) -> int:
    """The pid of the same program started the usual way, imports and all."""
    return spawn(Program(what, command(what, *more), log=log, cwd=ROOT, env=env)).pid


if __name__ == "__main__":
    serve()
