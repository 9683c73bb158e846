"""The chaos run: load, faults from one seed, quiet, and the verdict."""

import asyncio
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from scripts._lib.dev.terminal import say
from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults import judge
from scripts._lib.faults.deployment import Site, until
from scripts._lib.faults.fault_plan import Plan, make_plan
from scripts._lib.faults.injector import Breaker
from scripts._lib.faults.judge import Verdict
from scripts._lib.faults.load_generator import LONGEST, Feeder, Publisher
from scripts._lib.faults.minimum_counts import too_little
from scripts._lib.faults.receiver import Sink
from scripts._lib.faults.tenants import client_of, draft_second, make_tenants

ACCOUNTS = 3
LEASE = 2.0
RATE = 3.0  # contacts a second: two busy processors shall keep up
SLOW = (0.01, 0.25)  # the sink's answers, in seconds: kills shall find calls under way
SETTLING, SETTLING_SHORT = 240.0, 45.0
RESERVE = 30.0  # seconds more than what is on its way may take
KEPT = ROOT / ".local" / "faults"


@dataclass
class Run:
    """One run as far as it has come, so that one that breaks can say how far that was."""

    plan: Plan
    rate: float
    settling: float
    begun: float = field(default_factory=time.monotonic)
    settled: float = 0.0
    breaker: Breaker | None = None
    feeder: Feeder | None = None
    verdict: Verdict = field(default_factory=Verdict)


async def chaos(seed: int, kills: int, settling: float = SETTLING, rate: float = RATE) -> dict[str, Any]:
    """One run; what `--json` prints. Whatever goes wrong in here is a run that does not hold, and says so."""
    run = Run(make_plan(seed, kills, LEASE), rate, settling)
    say(f"faults: seed {seed}, {kills} worker kills in {run.plan.seconds:.0f} s")
    try:
        async with Site.running(lease=LEASE, sink=Sink(SLOW, seed), WORKER_CONCURRENCY="2") as site:
            try:
                await play(site, run)
            finally:
                if not run.verdict.holds or sys.exception() is not None:
                    await keep(site, seed, run.verdict)
    except Exception as error:  # noqa: BLE001 -- a harness that breaks has shown nothing, and must say so
        traceback.print_exc()
        why = f"the run broke: {type(error).__name__}: {error}"[:2000]
        return report(run) | {"holds": False, "why": [why, *run.verdict.why[:10]]}
    return report(run)


async def play(site: Site, run: Run) -> None:
    """Load and faults, quiet, and the verdict."""
    await site.start_web()
    tenants = await make_tenants(site, ACCOUNTS)
    async with client_of(site.env["BASE_URL"]) as client:
        drafts = [await draft_second(tenant, client) for tenant in tenants]
    await judge.install(site)
    say(f"faults: {time.monotonic() - run.begun:.0f} s for servers and workflows; now things break")
    run.breaker = breaker = Breaker(site, run.plan)
    run.feeder = feeder = Feeder(site, tenants, run.plan.seed, run.rate, acts=True)
    publisher = Publisher(site, tenants, run.plan.seconds / 3)
    tasks = [asyncio.create_task(one) for one in (feeder.run(), publisher.run(drafts), tell(breaker, feeder))]
    try:
        await breaker.run()
        feeder.stopped.set()
        async with asyncio.timeout(LONGEST + RESERVE):
            await asyncio.gather(*tasks[:2])
    finally:
        for task in tasks:
            task.cancel()
    run.settled = await quiet(site, run.settling)
    run.verdict = await judge.judge(site, tenants)
    run.verdict.worker_exits = breaker.done["worker_exits"]
    for sentence in too_little(run.verdict, run.plan, breaker.done, feeder.number, site.sink.taken):
        run.verdict.say("too_little", 1, sentence)


async def tell(breaker: Breaker, feeder: Feeder) -> None:
    while True:
        await asyncio.sleep(60)
        kills = breaker.done["kill_worker"]
        servers = breaker.done["kill_postgres"]
        say(f"faults: killed {kills} workers, PostgreSQL {servers} times; {feeder.number} contacts")


async def quiet(site: Site, longest: float) -> float:
    """Everything runs again; how many seconds until nothing was due any more, at most `longest`."""
    for worker in site.workers:
        worker.signal(signal.SIGCONT)
        if not worker.alive():
            worker.start()
    try:
        return await until(lambda: judge.settled(site), longest)
    except TimeoutError:
        return longest


async def keep(site: Site, seed: int, verdict: Verdict) -> None:
    """What it takes to find out why."""
    folder = KEPT / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (site.base / "logs").glob("*.log"):
        (folder / path.name).write_bytes(path.read_bytes()[-20_000_000:])
    (folder / "why.txt").write_text("\n".join(verdict.why) + "\n")
    say(f"faults: logs and rows are in {folder}")
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):  # it may be down
        await keep_rows(site, folder)


async def keep_rows(site: Site, folder: Path) -> None:
    dump = await site.sql("select to_jsonb(f) - 'payload' as row from effects f where status not in ('sent')")
    (folder / "effects.txt").write_text("\n".join(str(row["row"]) for row in dump) + "\n")
    dump = await site.sql("select to_jsonb(e) as row from enrollments e where status = 'active'")
    (folder / "enrollments.txt").write_text("\n".join(str(row["row"]) for row in dump) + "\n")


def report(run: Run) -> dict[str, Any]:
    done = run.breaker.done if run.breaker else Counter[str]()
    recoveries = run.breaker.recoveries if run.breaker else []
    answers = [one for tenant in run.feeder.tenants for one in tenant.sent] if run.feeder else []
    statuses = Counter(one.error or str(one.status) for one in answers)
    verdict = run.verdict
    return {
        "holds": verdict.holds,
        "seed": run.plan.seed,
        "seconds": round(time.monotonic() - run.begun),
        "worker_kills": done["kill_worker"],
        "worker_kills_of_the_dead": done["dead_already"],
        "postgres_kills": done["kill_postgres"],
        "redis_flushes": done["flush"],
        "worker_stops": done["stop_worker"],
        "connections_dropped": done["drop_connections"],
        "valkey_freezes": done["freeze_valkey"],
        "valkey_restarts": done["restart_valkey"],
        "web_kills": done["kill_web"],
        "offered": len(answers),
        "answers": dict(statuses),
        "later_answers": dict(Counter(str(status) for one in answers for status in one.later)),
        "bought": sum(bool(one.bought) for one in answers),
        "unsubscribed": sum(bool(one.unsubscribed) for one in answers),
        "paused": sum(bool(one.paused) for one in answers),
        "slowest_answer": round(max((one.seconds for one in answers if one.status), default=0.0), 2),
        "settling_seconds": round(run.settled, 1),
        "postgres_back_seconds_max": round(max(recoveries, default=0.0), 2),
        **{name: value for name, value in msgspec.to_builtins(verdict).items() if name != "why"},
        "why": verdict.why[:10],
    }
