"""Processes that are measured: started with the parent's environment for them, told and heard over pipes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psutil

from scripts._lib.bench.testbed import Place
from scripts._lib.dev.terminal import Problem
from scripts._lib.dev.virtualenv import PYTHON, ROOT

PATIENCE = 300.0


@dataclass(frozen=True)
class Drained:
    """One timed run: seconds from `go` to the last commit, CPU seconds, and the part of all cores busy."""

    seconds: float
    worker_cpu: float
    server_cpu: float
    cores_busy: float


class Drainer:
    """One process of `scripts._lib.bench.engine_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def tell(self, word: str) -> None:
        if self.process.stdin is None:
            raise Problem("The process that is measured has no input.")
        self.process.stdin.write(f"{word}\n".encode())

    async def line(self) -> list[str]:
        """The next line in words. Raises Problem when there is none in time."""
        if self.process.stdout is None:
            raise Problem("The process that is measured has no output.")
        try:
            async with asyncio.timeout(PATIENCE):
                read = await self.process.stdout.readline()
        except TimeoutError:
            raise Problem(f"A process that is measured said nothing for {PATIENCE:.0f} s.") from None
        if not read:
            raise Problem("A process that was measured ended by itself.")
        return read.decode().split()

    async def hold(self) -> float:
        """Stop moving; the CPU seconds used since `go`."""
        self.tell("hold")
        while (words := await self.line())[0] != "held":
            continue
        return float(words[1])


@asynccontextmanager
async def drainers(
    place: Place, module: str, *arguments: str, count: int = 1
) -> AsyncIterator[list[Drainer]]:
    """`count` processes, ready and held."""
    made: list[Drainer] = []
    try:
        for _ in range(count):
            process = await asyncio.create_subprocess_exec(
                str(PYTHON), "-m", module, *arguments, cwd=ROOT, env=place.environment(),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            made.append(Drainer(process))
        for one in made:
            await one.line()
        yield made
    finally:
        for one in made:
            with suppress(ProcessLookupError, Problem, ConnectionError):
                one.tell("exit")
                async with asyncio.timeout(5):
                    await one.process.wait()
            with suppress(ProcessLookupError):
                one.process.kill()
                await one.process.wait()


async def drain(place: Place, workers: Sequence[Drainer], wanted: int) -> Drained:
    """From `go` until the batches make up `wanted`."""
    servers = place.server_cpu()
    whole, began = psutil.cpu_times(), time.monotonic()
    for worker in workers:
        worker.tell("go")
    left, last = wanted, began

    async def listen(worker: Drainer) -> None:
        nonlocal left, last
        while True:
            at, found = await worker.line()
            left, last = left - int(found), max(last, float(at))
            if left <= 0:
                enough.set()

    enough = asyncio.Event()
    listening = [asyncio.create_task(listen(worker)) for worker in workers]
    ended = asyncio.create_task(enough.wait())
    done, _ = await asyncio.wait([*listening, ended], return_when=asyncio.FIRST_COMPLETED)
    busy = busy_between(whole, psutil.cpu_times())
    served = place.server_cpu() - servers
    for task in (*listening, ended):
        task.cancel()
    await asyncio.wait([*listening, ended])
    for task in done - {ended}:
        task.result()
    used = [await worker.hold() for worker in workers]
    return Drained(last - began, sum(used), served, busy)


def busy_between(before: "psutil._ntuples.scputimes", after: "psutil._ntuples.scputimes") -> float:
    """The part of all cores' time that was neither idle nor waiting for a disk."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    resting = sum(
        value for name, value in zip(before._fields, spent, strict=True) if name in {"idle", "iowait"}
    )
    counted = sum(value for name, value in zip(before._fields, spent, strict=True) if "guest" not in name)
    return 1 - resting / counted if counted else 0.0
