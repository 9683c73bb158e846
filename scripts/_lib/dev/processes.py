"""Programs started, recorded, ended by pid; and free ports."""

import errno
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts._lib.dev.files import read_json, write_whole
from scripts._lib.dev.system_users import User, run_as
from scripts._lib.dev.terminal import Problem, tail


@dataclass(frozen=True)
class Program:
    """What to start, and how to end it: a signal, then `patience` seconds, then SIGKILL.

    `env` is its whole environment; None passes ours on.
    """

    name: str
    command: list[str]
    log: Path
    cwd: Path
    env: dict[str, str] | None = None
    user: User | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    stage: int = 0  # 0 for servers; what uses them has a higher one and ends first


def spawn(program: Program) -> subprocess.Popen[bytes]:
    """Start a program, writing to its log, in a session of its own (the terminal's Ctrl-C passes it by)."""
    with program.log.open("ab") as log:
        return subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=program.cwd,
            env=program.env,
            start_new_session=True,
            **run_as(program.user),
        )


def end(process: psutil.Process, stop_signal: signal.Signals, patience: float) -> None:
    """End one process, not our child, by its pid and wait for it; SIGKILL after `patience` seconds."""
    deadline = time.monotonic() + patience
    try:
        process.send_signal(stop_signal)
        while lives(process):
            if time.monotonic() > deadline:
                process.kill()
                deadline += 10
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        return


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and that nobody has waited for does not."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def record(folder: Path, name: str, pid: int) -> None:
    """Keep who was started, so that a later start finds it when this one is killed."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    write_whole(folder / f"{name}.json", json.dumps({"pid": pid, "created": created}) + "\n")


def forget(folder: Path, name: str) -> None:
    """Drop the record of a program that has ended."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def orphan(folder: Path, name: str) -> psutil.Process | None:
    """The recorded process, if it still runs and is the same one (its pid may have passed to another)."""
    mark = read_json(folder / f"{name}.json")
    try:
        process = psutil.Process(int(mark["pid"]))
        return process if abs(process.create_time() - float(mark["created"])) < 2 else None
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return None


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there. Raises Problem when the address is not one of this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Some systems let two listen on one port when one of them listens on every address.
    with suppress(OSError), socket.create_connection((host, port), 0.3):
        return False
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except PermissionError as error:
            raise Problem(
                f"Port {port} needs more rights than yours; take one above 1023 with --port."
            ) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise Problem(
                f"{host} is not an address of this machine ({error.strerror}); see --host."
            ) from error
    return True


def need_free(port: int, host: str) -> None:
    """Raise Problem, naming who has it where that can be known, when the port is taken."""
    if is_free(port, host):
        return
    raise Problem(
        f"Port {port} on {host} is in use{holder(port)}; stop that program, or start with another, "
        f"for example --port {port + 1}."
    )


def holder(port: int) -> str:
    """Who listens on a port, as words; empty where the system does not tell."""
    try:
        for row in psutil.net_connections("inet"):
            if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port and row.pid:
                return f" by {psutil.Process(row.pid).name()} (process {row.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""


def free_port(remembered: int | None = None) -> int:
    """A free port on loopback, the remembered one if it is still free."""
    if remembered and is_free(remembered):
        return remembered
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_for(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], program: Program, seconds: float
) -> None:
    """Wait until `ready()`. Raises Problem, with the end of the log, when it ends or takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise Problem(
                f"{program.name} ended with code {process.returncode} before it was ready; "
                f"the end of {program.log}:\n{tail(program.log)}"
            )
        if time.monotonic() > deadline:
            raise Problem(
                f"{program.name} was not ready within {seconds:.0f} s; "
                f"the end of {program.log}:\n{tail(program.log)}"
            )
        time.sleep(0.02)
