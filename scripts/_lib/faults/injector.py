"""Faults carried out: each leaves the site as it was but for what it broke."""

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import suppress

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from scripts._lib.faults.deployment import Site
from scripts._lib.faults.fault_plan import WORKERS, Fault, Plan

DROP_EVERY = 0.2  # seconds between two ended connections


class Breaker:
    """Carries out a plan. `done` counts what was really done."""

    def __init__(self, site: Site, plan: Plan) -> None:
        self.site, self.plan = site, plan
        self.random = random.Random(plan.seed + 1)  # noqa: S311 -- repeatable on purpose
        self.done: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self.postgres = asyncio.Lock()  # down once at a time
        self.valkey = asyncio.Lock()

    async def run(self) -> None:
        """All faults at their times; returns when the last is over."""
        begun = time.monotonic()
        for _ in range(WORKERS - len(self.site.workers)):
            self.site.start_worker()
        async with asyncio.TaskGroup() as group:
            always = [group.create_task(self.flush()), group.create_task(self.supervise())]
            running = []
            for fault in self.plan.faults:
                await asyncio.sleep(max(0.0, begun + fault.at - time.monotonic()))
                running.append(group.create_task(getattr(self, fault.what)(fault)))
            await asyncio.sleep(max(0.0, begun + self.plan.seconds - time.monotonic()))
            await asyncio.wait(running)
            for task in always:
                task.cancel()

    async def flush(self) -> None:
        """FLUSHALL once a second, while Valkey can be asked."""
        client = redis.asyncio.Redis.from_url(
            self.site.valkey.url(), socket_timeout=0.5, socket_connect_timeout=0.5
        )
        while True:
            with suppress(RedisError, OSError, TimeoutError):
                await client.flushall()
                self.done["flush"] += 1
            await asyncio.sleep(1.0)

    async def supervise(self) -> None:
        """Start again what ended by itself, which nobody asked for."""
        while True:
            await asyncio.sleep(0.5)
            for worker in self.site.workers:
                if not worker.alive():
                    self.done["worker_exits"] += 1
                    worker.start()

    async def kill_worker(self, fault: Fault) -> None:
        worker = self.site.workers[fault.victim]
        self.done["kill_worker" if worker.alive() else "dead_already"] += 1
        worker.kill_and_start()

    async def stop_worker(self, fault: Fault) -> None:
        """SIGSTOP past its lease: whatever it holds is taken over, and then it wakes up."""
        worker = self.site.workers[fault.victim]
        pid = worker.pid
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        if worker.pid == pid:  # not killed meanwhile
            worker.signal(signal.SIGCONT)
            self.done["stop_worker"] += 1

    async def kill_postgres(self, _fault: Fault) -> None:
        async with self.postgres:
            self.site.kill_postgres()
            await asyncio.sleep(self.random.uniform(0, 2))
            self.recoveries.append(await self.site.start_postgres())
            self.done["kill_postgres"] += 1

    async def drop_connections(self, fault: Fault) -> None:
        """pg_terminate_backend of connections of the program, here and there."""
        end = time.monotonic() + fault.seconds
        drop = (
            "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity "
            "where usename = 'app_user' order by random() limit 1) x"
        )
        while time.monotonic() < end:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                self.done["drop_connections"] += await self.site.value(drop)
            await asyncio.sleep(DROP_EVERY)

    async def freeze_valkey(self, fault: Fault) -> None:
        async with self.valkey:
            self.site.signal_valkey(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            self.site.signal_valkey(signal.SIGCONT)
            self.done["freeze_valkey"] += 1

    async def restart_valkey(self, fault: Fault) -> None:
        async with self.valkey:
            self.site.signal_valkey(signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            await self.site.start_valkey()
            self.done["restart_valkey"] += 1

    async def kill_web(self, _fault: Fault) -> None:
        if self.site.web is not None:
            self.site.web.kill_and_start()
            self.done["kill_web"] += 1
