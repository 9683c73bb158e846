"""A server that imports the program once and forks a worker or a web server on request.

    python -m scripts._lib.faults.fork_server        # reads one JSON object per line, writes one pid per line

`ForkServer` is the client, `serve_forks` the server. A worker that is killed every two seconds would spend
its life importing. A forked one is the same program from its first line on (`litestar worker`, `litestar
web`), a process of its own that can be killed, stopped and inspected, with its imports done. It also means
that a whole run tests one state of the source files.
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

from scripts._lib.dev.virtualenv import ROOT

# Environment variables of one forked process.
CLOCK_OFFSETS_VARIABLE = "CHAOS_CLOCK"  # the offsets of its clock in seconds, separated by commas
POOL_OVERFLOW_VARIABLE = "CHAOS_POOL_OVERFLOW"  # connections beyond the pool's size
FAULT_VARIABLE = "CHAOS_FAULT"  # a `Fault` of tests/faults/injector.py as JSON
JUMP_INTERVAL = 3.0  # seconds until the clock jumps to its next offset
PRELOADED = ("jobs.worker", "app.main", "uvicorn", "uvicorn.protocols.http.httptools_impl", "uvloop")


def serve_forks() -> None:
    """Fork what each line names; at the end of the input kill all forked processes."""
    for name in PRELOADED:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that ended processes leave no zombies
    print("ready", flush=True)
    pids: list[int] = []
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            become_program(json.loads(line))
        pids.append(pid)
        print(pid, flush=True)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def become_program(order: dict[str, Any]) -> None:
    """Turn this process into the requested program; never return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.environ.update(order["env"])
        if CLOCK_OFFSETS_VARIABLE in os.environ:
            shift_clock([float(offset) for offset in os.environ[CLOCK_OFFSETS_VARIABLE].split(",")])
        if POOL_OVERFLOW_VARIABLE in os.environ:
            limit_overflow(int(os.environ[POOL_OVERFLOW_VARIABLE]))
        if FAULT_VARIABLE in os.environ:
            install_fault(os.environ[FAULT_VARIABLE])
        program = import_module("app.cli")
        if order["name"] == "worker":
            program.worker.callback()
        else:
            program.web.callback(host="127.0.0.1", port=order["port"])
        code = 0
    except BaseException:  # noqa: BLE001 -- the fork must never return into its parent's loop
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def shift_clock(offsets: list[float]) -> None:
    """Shift the clocks of this process by the first offset (seconds), and by the next one every
    `JUMP_INTERVAL`.

    Raises RuntimeError when the program takes its time from another clock.
    """
    started, real, real_ns = time.monotonic(), time.time, time.time_ns

    def offset() -> float:
        return offsets[int((time.monotonic() - started) / JUMP_INTERVAL) % len(offsets)]

    time.time = lambda: real() + offset()
    time.time_ns = lambda: real_ns() + int(offset() * 1e9)
    shifted = shifted_datetime(offset)
    for name, module in list(sys.modules.items()):
        ours = name.split(".")[0] in ("app", "db", "jobs", "saq")
        # Only where `now` is called: elsewhere `datetime` is the type by which rows and bodies are decoded.
        if ours and vars(module).get("datetime") is datetime and "datetime.now(" in inspect.getsource(module):
            vars(module)["datetime"] = shifted
    stamp = (import_module("db.ids").uuid7().int >> 80) / 1000
    if abs(stamp - real() - offsets[0]) > 2:
        raise RuntimeError(f"new IDs do not carry the shifted clock: they are off by {stamp - real():.1f} s")


def shifted_datetime(offset: Callable[[], float]) -> type[datetime]:
    """A `datetime` whose `now` is shifted. It returns plain datetimes, and plain ones are its instances."""

    class InstanceOfDatetime(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, datetime)

    class Shifted(datetime, metaclass=InstanceOfDatetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # returns a plain datetime
            return datetime.now(tz) + timedelta(seconds=offset())

    return Shifted


def install_fault(fault: str) -> None:
    """Break this process at a point of app/fault_hook.py."""
    from tests.faults.injector import Fault, install

    install(msgspec.json.decode(fault, type=Fault))


def limit_overflow(overflow: int) -> None:
    """Limit the connections beyond the pool's size, so that a small pool can really run out."""
    module: Any = import_module("db.connection")
    module.create_async_engine = partial(_limited, module.create_async_engine, overflow)


def _limited(create: Callable[..., Any], overflow: int, *arguments: Any, **options: Any) -> Any:
    return create(*arguments, **options | ({"max_overflow": overflow} if "max_overflow" in options else {}))


class ForkServer:
    """The client of the fork server."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.env, self.log = env, log

    def start(self) -> None:
        """Start the server and wait for its imports, a second or two."""
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
        self._read_line("ready")

    def _read_line(self, expected: str = "") -> str:
        assert self.process.stdout is not None  # noqa: S101 -- it was opened as a pipe
        line = self.process.stdout.readline().strip()
        if not line or (expected and line != expected):
            raise RuntimeError(f"the fork server ended: see {self.log}")
        return line

    def fork(self, name: str, log: Path, env: dict[str, str], port: int = 0) -> int:
        """Fork a `worker` or a `web` server; return its pid. `port` is the web server's."""
        assert self.process.stdin is not None  # noqa: S101 -- it was opened as a pipe
        order = {"name": name, "log": str(log), "port": port, "env": env}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._read_line())

    def stop(self) -> None:
        """End the server and everything that it forked."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(10)


if __name__ == "__main__":
    serve_forks()
