"""Carries out a fault plan. `FaultInjector.run` is the entry point.

Each fault has a method. When it is over, the deployment is as it was before, but for what broke.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from contextlib import suppress

import asyncpg
import redis.asyncio
from redis.exceptions import RedisError

from scripts._lib.faults.deployment import Deployment
from scripts._lib.faults.fault_plan import WORKERS, FaultPlan, PlannedFault

DROP_INTERVAL = 0.2  # seconds between two dropped connections


class FaultInjector:
    """Carries out a plan.

    `counts` has what was really done, `recoveries` the seconds that each restart of PostgreSQL took.
    """

    def __init__(self, deployment: Deployment, plan: FaultPlan) -> None:
        self.deployment, self.plan = deployment, plan
        self.random = random.Random(plan.seed + 1)  # noqa: S311 -- repeatable on purpose
        self.counts: Counter[str] = Counter()
        self.recoveries: list[float] = []
        self.postgres_lock = asyncio.Lock()  # one fault of it at a time
        self.valkey_lock = asyncio.Lock()

    async def run(self) -> None:
        """Start the workers, then carry out each fault at its time; return when the last is over."""
        started = time.monotonic()
        for _ in range(WORKERS - len(self.deployment.workers)):
            self.deployment.start_worker()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(self.flush_valkey()), group.create_task(self.restart_workers())]
            faults = []
            for fault in self.plan.faults:
                await asyncio.sleep(max(0.0, started + fault.at - time.monotonic()))
                faults.append(group.create_task(getattr(self, fault.kind)(fault)))
            await asyncio.sleep(max(0.0, started + self.plan.seconds - time.monotonic()))
            await asyncio.wait(faults)
            for task in background:
                task.cancel()

    async def flush_valkey(self) -> None:
        """FLUSHALL once a second, while Valkey answers."""
        client = redis.asyncio.Redis.from_url(
            self.deployment.valkey.url(), socket_timeout=0.5, socket_connect_timeout=0.5
        )
        while True:
            with suppress(RedisError, OSError, TimeoutError):
                await client.flushall()
                self.counts["flush"] += 1
            await asyncio.sleep(1.0)

    async def restart_workers(self) -> None:
        """Count and restart workers that ended by themselves, which they should not."""
        while True:
            await asyncio.sleep(0.5)
            for worker in self.deployment.workers:
                if not worker.is_alive():
                    self.counts["worker_exits"] += 1
                    worker.start()

    async def kill_worker(self, fault: PlannedFault) -> None:
        worker = self.deployment.workers[fault.worker]
        self.counts["kill_worker" if worker.is_alive() else "dead_already"] += 1
        worker.kill_and_start()

    async def stop_worker(self, fault: PlannedFault) -> None:
        """SIGSTOP for longer than its lease, so that its work is taken over; then it wakes up."""
        worker = self.deployment.workers[fault.worker]
        pid = worker.pid
        worker.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.seconds)
        if worker.pid == pid:  # not killed meanwhile
            worker.signal(signal.SIGCONT)
            self.counts["stop_worker"] += 1

    async def kill_postgres(self, _fault: PlannedFault) -> None:
        async with self.postgres_lock:
            self.deployment.kill_postgres()
            await asyncio.sleep(self.random.uniform(0, 2))
            self.recoveries.append(await self.deployment.start_postgres())
            self.counts["kill_postgres"] += 1

    async def drop_connections(self, fault: PlannedFault) -> None:
        """Let PostgreSQL end a random connection of the program, again and again."""
        end = time.monotonic() + fault.seconds
        drop = (
            "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity "
            "where usename = 'app_user' order by random() limit 1) x"
        )
        while time.monotonic() < end:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                self.counts["drop_connections"] += await self.deployment.value(drop)
            await asyncio.sleep(DROP_INTERVAL)

    async def freeze_valkey(self, fault: PlannedFault) -> None:
        async with self.valkey_lock:
            self.deployment.signal_valkey(signal.SIGSTOP)
            await asyncio.sleep(fault.seconds)
            self.deployment.signal_valkey(signal.SIGCONT)
            self.counts["freeze_valkey"] += 1

    async def restart_valkey(self, fault: PlannedFault) -> None:
        async with self.valkey_lock:
            self.deployment.signal_valkey(signal.SIGKILL)
            await asyncio.sleep(fault.seconds)
            await self.deployment.start_valkey()
            self.counts["restart_valkey"] += 1

    async def kill_web(self, _fault: PlannedFault) -> None:
        if self.deployment.web is not None:
            self.deployment.web.kill_and_start()
            self.counts["kill_web"] += 1
