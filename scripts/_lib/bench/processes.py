"""The measured processes: starts them, tells them over a pipe when to begin, and reads the times they report.

`measured_processes` starts them, `measure` times one run. `engine_worker` describes the protocol.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil

from scripts._lib.bench.testbed import Testbed
from scripts._lib.dev.terminal import ScriptError
from scripts._lib.dev.virtualenv import PYTHON, ROOT

MAX_SILENCE = 300.0  # seconds


@dataclass(frozen=True)
class Measurement:
    """One timed run: seconds from `go` to the last commit, CPU seconds, and the share of all cores in use."""

    seconds: float
    worker_cpu: float
    server_cpu: float
    cores_busy: float


class MeasuredProcess:
    """One process of `engine_worker` or `step_job_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def send(self, command: str) -> None:
        """Write one command to the process."""
        if self.process.stdin is None:
            raise ScriptError("The measured process has no input.")
        self.process.stdin.write(f"{command}\n".encode())

    async def read_words(self) -> list[str]:
        """The words of the next line. Raises ScriptError when none comes in time."""
        if self.process.stdout is None:
            raise ScriptError("The measured process has no output.")
        try:
            async with asyncio.timeout(MAX_SILENCE):
                line = await self.process.stdout.readline()
        except TimeoutError:
            raise ScriptError(f"A measured process wrote nothing for {MAX_SILENCE:.0f} s.") from None
        if not line:
            raise ScriptError("A measured process ended by itself.")
        return line.decode().split()

    async def stop(self) -> float:
        """Stop the work; return the CPU seconds used since `go`."""
        self.send("stop")
        while (words := await self.read_words())[0] != "stopped":
            continue
        return float(words[1])

    async def exit(self) -> None:
        """End the process; kill it when it doesn't end within five seconds."""
        with suppress(ProcessLookupError, ScriptError, ConnectionError, TimeoutError):
            self.send("exit")
            async with asyncio.timeout(5):
                await self.process.wait()
        with suppress(ProcessLookupError):
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def measured_processes(
    testbed: Testbed, module: str, *arguments: str, count: int = 1
) -> AsyncIterator[list[MeasuredProcess]]:
    """`count` processes of a module, ready and waiting for `go`; ended on exit."""
    processes: list[MeasuredProcess] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                str(PYTHON), "-m", module, *arguments, cwd=ROOT, env=testbed.environment(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            processes.append(MeasuredProcess(process))
        for measured in processes:
            await measured.read_words()
        yield processes
    finally:
        for measured in processes:
            await measured.exit()


async def measure(testbed: Testbed, workers: Sequence[MeasuredProcess], expected: int) -> Measurement:
    """Time the workers from `go` until their batches add up to `expected` rows."""
    server_cpu_before = testbed.server_cpu()
    cpu_before, started = psutil.cpu_times(), time.monotonic()
    for worker in workers:
        worker.send("go")
    remaining, last_commit = expected, started

    async def count_rows(worker: MeasuredProcess) -> None:
        nonlocal remaining, last_commit
        while True:
            committed_at, rows = await worker.read_words()
            remaining, last_commit = remaining - int(rows), max(last_commit, float(committed_at))
            if remaining <= 0:
                finished.set()

    finished = asyncio.Event()
    readers = [asyncio.create_task(count_rows(worker)) for worker in workers]
    waiter = asyncio.create_task(finished.wait())
    done, _ = await asyncio.wait([*readers, waiter], return_when=asyncio.FIRST_COMPLETED)
    cores_busy = busy_share(cpu_before, psutil.cpu_times())
    server_cpu = testbed.server_cpu() - server_cpu_before
    for task in (*readers, waiter):
        task.cancel()
    await asyncio.wait([*readers, waiter])
    for task in done - {waiter}:
        task.result()
    worker_cpu = [await worker.stop() for worker in workers]
    return Measurement(last_commit - started, sum(worker_cpu), server_cpu, cores_busy)


def busy_share(before: "psutil._ntuples.scputimes", after: "psutil._ntuples.scputimes") -> float:
    """The share of all cores' time that was neither idle nor spent waiting for a disk."""
    spent = dict(
        zip(before._fields, (end - start for start, end in zip(before, after, strict=True)), strict=True)
    )
    idle = sum(seconds for name, seconds in spent.items() if name in {"idle", "iowait"})
    total = sum(seconds for name, seconds in spent.items() if "guest" not in name)
    return 1 - idle / total if total else 0.0
