"""The chaos run: load, faults from one seed, quiet, and the verdict."""

import asyncio
import signal
import time
from collections import Counter
from typing import Any

import msgspec

from scripts.chaos import oracle
from scripts.chaos.breaking import Breaker
from scripts.chaos.load import Feeder, make_tenants
from scripts.chaos.oracle import Verdict
from scripts.chaos.plan import make_plan
from scripts.chaos.sink import Sink
from scripts.chaos.site import Site, until
from scripts.local.environment import ROOT
from scripts.local.say import say

ACCOUNTS = 3
LEASE = 2.0
RATE = 3.0  # contacts a second: two busy processors shall keep up
SLOW = (0.01, 0.25)  # the sink's answers, in seconds: kills shall find calls under way
SETTLING = 240.0
KEPT = ROOT / ".local" / "faults"


async def chaos(seed: int, kills: int, rate: float = RATE) -> dict[str, Any]:
    """One run; what `--json` prints."""
    begun = time.monotonic()
    plan = make_plan(seed, kills, LEASE)
    say(f"faults: seed {seed}, {kills} worker kills in {plan.seconds:.0f} s")
    async with Site.running(lease=LEASE, sink=Sink(SLOW, seed), WORKER_CONCURRENCY="2") as site:
        await site.start_web()
        tenants = await make_tenants(site, ACCOUNTS)
        await oracle.install(site)
        say(f"faults: {time.monotonic() - begun:.0f} s for servers and workflows; now things break")
        breaker, feeder = Breaker(site, plan), Feeder(site, tenants, seed, rate)
        feeding = asyncio.create_task(feeder.run())
        telling = asyncio.create_task(tell(breaker, feeder))
        await breaker.run()
        telling.cancel()
        feeder.stopped.set()
        await feeding
        settling = await quiet(site)
        verdict = await oracle.judge(site, tenants)
        if not verdict.holds:
            await keep(site, seed, verdict)
    return report(plan.seed, time.monotonic() - begun, settling, breaker, feeder, verdict)


async def tell(breaker: Breaker, feeder: Feeder) -> None:
    while True:
        await asyncio.sleep(60)
        kills = breaker.done["kill_worker"]
        servers = breaker.done["kill_postgres"]
        say(f"faults: killed {kills} workers, PostgreSQL {servers} times; {feeder.number} contacts")


async def quiet(site: Site) -> float:
    """Everything runs again; how many seconds until nothing was due any more (SETTLING when it never was)."""
    for worker in site.workers:
        worker.signal(signal.SIGCONT)
        if not worker.alive():
            worker.start()
    try:
        return await until(lambda: oracle.settled(site), SETTLING)
    except TimeoutError:
        return SETTLING


async def keep(site: Site, seed: int, verdict: Verdict) -> None:
    """What it takes to find out why."""
    folder = KEPT / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (site.base / "logs").glob("*.log"):
        (folder / path.name).write_bytes(path.read_bytes()[-20_000_000:])
    (folder / "why.txt").write_text("\n".join(verdict.why) + "\n")
    dump = await site.sql("select to_jsonb(f) - 'payload' as row from effects f where status not in ('sent')")
    (folder / "effects.txt").write_text("\n".join(str(row["row"]) for row in dump) + "\n")
    dump = await site.sql("select to_jsonb(e) as row from enrollments e where status = 'active'")
    (folder / "enrollments.txt").write_text("\n".join(str(row["row"]) for row in dump) + "\n")
    say(f"faults: logs and rows are in {folder}")


def report(
    seed: int, seconds: float, settling: float, breaker: Breaker, feeder: Feeder, verdict: Verdict
) -> dict[str, Any]:
    done = breaker.done
    answers = [one for tenant in feeder.tenants for one in tenant.sent]
    statuses = Counter(one.error or str(one.status) for one in answers)
    return {
        "seed": seed,
        "seconds": round(seconds),
        "worker_kills": done["kill_worker"],
        "postgres_kills": done["kill_postgres"],
        "redis_flushes": done["flush"],
        "worker_stops": done["stop_worker"],
        "connections_dropped": done["drop_connections"],
        "valkey_freezes": done["freeze_valkey"],
        "valkey_restarts": done["restart_valkey"],
        "web_kills": done["kill_web"],
        "worker_exits": done["worker_exits"],
        "offered": len(answers),
        "answers": dict(statuses),
        "slowest_answer": round(max((one.seconds for one in answers if one.status), default=0.0), 2),
        "settling_seconds": round(settling, 1),
        "postgres_back_seconds_max": round(max(breaker.recoveries, default=0.0), 2),
        **{name: value for name, value in msgspec.to_builtins(verdict).items() if name != "why"},
        "why": verdict.why[:10],
    }
