"""Keeps programs running: starts them, restarts them after growing pauses, ends them in order.

`Supervisor.start`, `wait_until` and `watch` are the entry points; `stop` comes last.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts._lib.dev.processes import ChildProgram, find_orphan, record_pid, remove_record, spawn, terminate
from scripts._lib.dev.terminal import ScriptError, print_progress, tail

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLED_SECONDS = 60.0  # after this time the next pause is the shortest again


class StopRequested(Exception):
    """A signal asked this process to end."""


@dataclass
class Child:
    """A running program: its process, when it started, and when a restart is due after it ended."""

    program: ChildProgram
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    due: float | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is running."""
        return self.due is None and self.process.poll() is None


class Supervisor:
    """The programs of one `scripts/dev`. Use inside `with supervisor.signals():` and end with `stop()`."""

    def __init__(self) -> None:
        self.records: Path | None = None  # the folder with the pids, for the next start
        self.children: dict[str, Child] = {}
        self.stop_requests = 0
        self._last_request_at = float("-inf")
        self._wake, self._alarm = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._alarm, False)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGHUP request a stop, and the end of a child wake us."""

        def request_stop(_number: int, _frame: object) -> None:
            # `timeout` and some shells signal both the process and its group: that is one request.
            if time.monotonic() - self._last_request_at > 1.0:
                self.stop_requests += 1
                self._last_request_at = time.monotonic()

        def ignore(_number: int, _frame: object) -> None:
            """The wake-up file descriptor does the work."""

        before = {
            number: signal.signal(number, ignore if number == signal.SIGCHLD else request_stop)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        }
        alarm = signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(alarm)
            for number, handler in before.items():
                signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep for at most `seconds`, until a signal arrives or a child ends."""
        if select.select([self._wake], [], [], max(seconds, 0))[0]:
            with suppress(BlockingIOError):
                while os.read(self._wake, 512):
                    pass

    def check_stop(self, seconds: float = 0.0) -> None:
        """Pause. Raises StopRequested after a stop was requested."""
        if not self.stop_requests:
            self.pause(seconds)
        if self.stop_requests:
            raise StopRequested

    def start(self, program: ChildProgram) -> Child:
        """Start a program and keep it running."""
        child = Child(program, spawn(program))
        self.children[program.name] = child
        if self.records:
            record_pid(self.records, program.name, child.process.pid)
        return child

    def run(self, program: ChildProgram) -> None:
        """Run a program to its end. Raises ScriptError, with the end of its log, when it fails."""
        child = self.start(program)
        try:
            while child.process.poll() is None:
                self.check_stop(1.0)
        except StopRequested:
            self.end_all([child])
            raise
        self.drop(program.name)
        if child.process.returncode:
            raise ScriptError(
                f"{program.name} {describe_exit(child.process)}; the end of {program.log}:\n"
                f"{tail(program.log)}"
            )

    def wait_until(self, ready: Callable[[], bool], name: str, seconds: float) -> None:
        """Wait for one program. Raises ScriptError when any program ends meanwhile or it takes too long."""
        started = time.monotonic()
        announced = False
        while not ready():
            for other in self.children.values():
                if not other.runs:
                    log = other.program.log
                    raise ScriptError(
                        f"{other.program.name} {describe_exit(other.process)} before it was ready; "
                        f"the end of {log}:\n{tail(log)}"
                    )
            waited = time.monotonic() - started
            if waited > seconds:
                log = self.children[name].program.log
                raise ScriptError(
                    f"{name} was not ready within {seconds:.0f} s; the end of {log}:\n{tail(log)}"
                )
            if waited > 8 and not announced:
                print_progress(f"waiting for {name} (log: {self.children[name].program.log})")
                announced = True
            self.check_stop(0.02 if waited < 1 else 0.1)

    def watch(self) -> None:
        """Restart whatever ends, until a stop is requested (raises StopRequested)."""
        while True:
            now = time.monotonic()
            for child in list(self.children.values()):
                self.restart_if_ended(child, now)
            dues = [child.due - now for child in self.children.values() if child.due is not None]
            self.check_stop(min(dues, default=3600.0))

    def restart_if_ended(self, child: Child, now: float) -> None:
        """Notice that a program has ended, or restart it when its pause is over."""
        name, process = child.program.name, child.process
        if child.due is None and process.poll() is not None:
            child.failures = 0 if now - child.started > SETTLED_SECONDS else child.failures
            wait = min(FIRST_PAUSE * 2**child.failures, LONGEST_PAUSE)
            child.failures += 1
            child.due = now + wait
            print_progress(
                f"{name} {describe_exit(process)}; restarting it in {wait:g} s (log: {child.program.log})"
            )
        elif child.due is not None and child.due <= now:
            restarted = self.start(child.program)
            restarted.failures = child.failures
            print_progress(f"{name} is running again (process {restarted.process.pid})")

    def drop(self, name: str) -> None:
        """Stop watching a program."""
        self.children.pop(name, None)
        if self.records:
            remove_record(self.records, name)

    def stop(self) -> None:
        """End everything, users of the servers first.

        A second request kills those at once, but never the servers.
        """
        stages = sorted({child.program.stage for child in self.children.values()}, reverse=True)
        for stage in stages:
            self.end_all([child for child in self.children.values() if child.program.stage == stage])

    def end_all(self, children: list[Child]) -> None:
        """Signal all of them, wait, and kill those that outlive their patience."""
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(child.program.stop_signal)
        started, requests = time.monotonic(), self.stop_requests
        while waiting := [child for child in children if child.process.poll() is None]:
            for child in waiting:
                impatient = child.program.stage > 0 and self.stop_requests > max(requests, 1)
                if impatient or time.monotonic() - started > child.program.patience:
                    print_progress(f"{child.program.name} did not stop in time; killing it")
                    os.killpg(child.process.pid, signal.SIGKILL)
            self.pause(0.5)
        for child in children:
            self.drop(child.program.name)

    def end_orphans(self, folder: Path, programs: dict[str, tuple[signal.Signals, float]]) -> None:
        """End what a killed start left running, by the recorded pids, in this order."""
        for name, (stop_signal, patience) in programs.items():
            process = find_orphan(folder, name)
            if process is not None:
                print_progress(f"stopping {name}, left by a start that was killed (process {process.pid})")
                terminate(process, stop_signal, patience)
            remove_record(folder, name)


def describe_exit(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    code = process.returncode
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
