"""Keeps programs running: starts, watches, restarts with growing pauses, ends them in order by pid."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from scripts._lib.dev.processes import Program, end, forget, orphan, record, spawn
from scripts._lib.dev.terminal import Problem, say, tail

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
SETTLED_SECONDS = 60.0  # a program that ran this long is given the short pause again


class Stopped(Exception):
    """Somebody asked us to end."""


@dataclass
class Child:
    """A program that should run: its process, when it started, when it is due again after it ended."""

    program: Program
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    failures: int = 0
    due: float | None = None

    @property
    def runs(self) -> bool:
        """Whether its process has not ended."""
        return self.due is None and self.process.poll() is None


class Supervisor:
    """The programs of one `scripts/dev`. Use inside `with supervisor.signals():` and end with `stop()`."""

    def __init__(self) -> None:
        self.records: Path | None = None  # where pids are kept for the next start
        self.children: dict[str, Child] = {}
        self.asked = 0  # how often we were asked to end
        self._asked_at = float("-inf")
        self._wake, self._alarm = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._alarm, False)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGHUP ask us to end, and the end of a child wake us."""

        def ask(_number: int, _frame: object) -> None:
            # One request may come twice at once: `timeout` and some shells signal the process and its group.
            if time.monotonic() - self._asked_at > 1.0:
                self.asked += 1
                self._asked_at = time.monotonic()

        def notice(_number: int, _frame: object) -> None:
            """The wake-up descriptor does the work."""

        before = {
            number: signal.signal(number, notice if number == signal.SIGCHLD else ask)
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
        """Sleep until a signal or the end of a child, at most `seconds`."""
        if select.select([self._wake], [], [], max(seconds, 0))[0]:
            with suppress(BlockingIOError):
                while os.read(self._wake, 512):
                    pass

    def go_on(self, seconds: float = 0.0) -> None:
        """Pause. Raises Stopped when we were asked to end."""
        if not self.asked:
            self.pause(seconds)
        if self.asked:
            raise Stopped

    def start(self, program: Program) -> Child:
        """Start a program and watch over it from now on."""
        child = Child(program, spawn(program))
        self.children[program.name] = child
        if self.records:
            record(self.records, program.name, child.process.pid)
        return child

    def run(self, program: Program) -> None:
        """Run a program to its end. Raises Problem, with the end of its log, when it fails."""
        child = self.start(program)
        try:
            while child.process.poll() is None:
                self.go_on(1.0)
        except Stopped:
            self.end_all([child])
            raise
        self.drop(program.name)
        if child.process.returncode:
            raise Problem(
                f"{program.name} {how(child.process)}; the end of {program.log}:\n{tail(program.log)}"
            )

    def wait_until(self, ready: Callable[[], bool], name: str, seconds: float) -> None:
        """Wait for one program. Raises Problem when any ends meanwhile or it takes too long."""
        begun = time.monotonic()
        told = False
        while not ready():
            for other in self.children.values():
                if not other.runs:
                    log = other.program.log
                    raise Problem(
                        f"{other.program.name} {how(other.process)} before it was ready; "
                        f"the end of {log}:\n{tail(log)}"
                    )
            waited = time.monotonic() - begun
            if waited > seconds:
                log = self.children[name].program.log
                raise Problem(f"{name} was not ready within {seconds:.0f} s; the end of {log}:\n{tail(log)}")
            if waited > 8 and not told:
                say(f"waiting for {name} (its log: {self.children[name].program.log})")
                told = True
            self.go_on(0.02 if waited < 1 else 0.1)

    def watch(self) -> None:
        """Watch until asked to end (raises Stopped); whatever ends is started again."""
        while True:
            now = time.monotonic()
            for child in list(self.children.values()):
                self.mend(child, now)
            dues = [child.due - now for child in self.children.values() if child.due is not None]
            self.go_on(min(dues, default=3600.0))

    def mend(self, child: Child, now: float) -> None:
        """Notice the end of a program, or start it again when it is due."""
        name, process = child.program.name, child.process
        if child.due is None and process.poll() is not None:
            child.failures = 0 if now - child.started > SETTLED_SECONDS else child.failures
            wait = min(FIRST_PAUSE * 2**child.failures, LONGEST_PAUSE)
            child.failures += 1
            child.due = now + wait
            say(f"{name} {how(process)}; starting it again in {wait:g} s (its log: {child.program.log})")
        elif child.due is not None and child.due <= now:
            again = self.start(child.program)
            again.failures = child.failures
            say(f"{name} runs again (process {again.process.pid})")

    def drop(self, name: str) -> None:
        """Watch a program no longer."""
        self.children.pop(name, None)
        if self.records:
            forget(self.records, name)

    def stop(self) -> None:
        """End everything, what uses the servers first; a second request kills those, never the servers."""
        stages = sorted({child.program.stage for child in self.children.values()}, reverse=True)
        for stage in stages:
            self.end_all([child for child in self.children.values() if child.program.stage == stage])

    def end_all(self, children: list[Child]) -> None:
        """Signal them all, wait for them all, kill what outlives its patience."""
        for child in children:
            if child.process.poll() is None:
                child.process.send_signal(child.program.stop_signal)
        begun, asked = time.monotonic(), self.asked
        while waiting := [child for child in children if child.process.poll() is None]:
            for child in waiting:
                impatient = child.program.stage > 0 and self.asked > max(asked, 1)
                if impatient or time.monotonic() - begun > child.program.patience:
                    say(f"{child.program.name} does not end by itself and is killed")
                    os.killpg(child.process.pid, signal.SIGKILL)
            self.pause(0.5)
        for child in children:
            self.drop(child.program.name)

    def end_orphans(self, folder: Path, programs: dict[str, tuple[signal.Signals, float]]) -> None:
        """End what a killed start left running, by the pids that it recorded, in the order given."""
        for name, (stop_signal, patience) in programs.items():
            left = orphan(folder, name)
            if left is not None:
                say(f"ending {name}, left by a start that was killed (process {left.pid})")
                end(left, stop_signal, patience)
            forget(folder, name)


def how(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, as words."""
    code = process.returncode
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
