"""Child programs: start them, record their pids, end them; and free ports."""

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

from scripts._lib.dev.files import read_json, write_atomically
from scripts._lib.dev.system_users import SystemUser, run_as
from scripts._lib.dev.terminal import ScriptError, tail


@dataclass(frozen=True)
class ChildProgram:
    """What to start, and how to end it: `stop_signal`, then `patience` seconds, then SIGKILL.

    `env` is its whole environment; None inherits ours.
    """

    name: str
    command: list[str]
    log: Path
    cwd: Path
    env: dict[str, str] | None = None
    user: SystemUser | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 10.0
    stage: int = 0  # 0 for servers; programs that use them have a higher stage and end first


def spawn(program: ChildProgram) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, so that the terminal's Ctrl-C doesn't reach it."""
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


def terminate(process: psutil.Process, stop_signal: signal.Signals, patience: float) -> None:
    """End a process that isn't our child and wait for it; SIGKILL after `patience` seconds."""
    deadline = time.monotonic() + patience
    try:
        process.send_signal(stop_signal)
        while is_alive(process):
            if time.monotonic() > deadline:
                process.kill()
                deadline += 10
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        return


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie doesn't."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def record_pid(folder: Path, name: str, pid: int) -> None:
    """Record a started program, so that a later start finds it when this one is killed."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    write_atomically(folder / f"{name}.json", json.dumps({"pid": pid, "created": created}) + "\n")


def remove_record(folder: Path, name: str) -> None:
    """Remove the record of a program that has ended."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def find_orphan(folder: Path, name: str) -> psutil.Process | None:
    """The recorded process, if it still runs and its pid hasn't been reused."""
    recorded = read_json(folder / f"{name}.json")
    try:
        process = psutil.Process(int(recorded["pid"]))
        return process if abs(process.create_time() - float(recorded["created"])) < 2 else None
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return None


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there. Raises ScriptError when the address isn't one of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Some systems let two programs listen on one port when one of them listens on every address.
    with suppress(OSError), socket.create_connection((host, port), 0.3):
        return False
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except PermissionError as error:
            raise ScriptError(f"Port {port} needs root; choose one above 1023 with --port.") from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise ScriptError(
                f"{host} is not an address of this machine ({error.strerror}); see --host."
            ) from error
    return True


def require_free_port(port: int, host: str) -> None:
    """Raises ScriptError when the port is in use; it names the program if that is known."""
    if is_port_free(port, host):
        return
    raise ScriptError(
        f"Port {port} on {host} is in use{describe_port_holder(port)}; stop that program, or "
        f"choose another port, for example --port {port + 1}."
    )


def describe_port_holder(port: int) -> str:
    """ " by <name> (process <pid>)" for the program that listens on a port; empty when unknown."""
    try:
        for row in psutil.net_connections("inet"):
            if row.status == psutil.CONN_LISTEN and row.laddr and row.laddr.port == port and row.pid:
                return f" by {psutil.Process(row.pid).name()} (process {row.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""


def free_port(preferred: int | None = None) -> int:
    """A free port on loopback: the preferred one if it is free."""
    if preferred and is_port_free(preferred):
        return preferred
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def wait_until_ready(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], program: ChildProgram, seconds: float
) -> None:
    """Wait until `ready()`. Raises ScriptError, with the log's end, when the program ends or is too slow."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ScriptError(
                f"{program.name} ended with code {process.returncode} before it was ready; "
                f"the end of {program.log}:\n{tail(program.log)}"
            )
        if time.monotonic() > deadline:
            raise ScriptError(
                f"{program.name} was not ready within {seconds:.0f} s; "
                f"the end of {program.log}:\n{tail(program.log)}"
            )
        time.sleep(0.02)
