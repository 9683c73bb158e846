"""The long run: load, faults from one seed, time to settle, the verdict. `run_chaos` is the entry point."""

import asyncio
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import msgspec

from scripts._lib.dev.terminal import print_progress
from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults.deployment import Deployment, wait_until
from scripts._lib.faults.fault_plan import FaultPlan, make_plan
from scripts._lib.faults.injector import FaultInjector
from scripts._lib.faults.judge import RunVerdict, install_observers, is_settled, judge
from scripts._lib.faults.load_accounts import create_accounts, draft_second_version, open_client
from scripts._lib.faults.load_generator import MAX_ENDING_SECONDS, LoadGenerator, Publisher
from scripts._lib.faults.minimum_counts import missed_minimums
from scripts._lib.faults.receiver import Receiver

ACCOUNTS = 3
LEASE = 2.0  # seconds
CONTACTS_PER_SECOND = 3.0  # what two busy cores can keep up with
ANSWER_SECONDS = (0.01, 0.25)  # of the receiver, so that kills hit running calls
SETTLE_SECONDS, SETTLE_SECONDS_SHORT = 240.0, 45.0
ENDING_RESERVE = 30.0  # seconds beyond what running requests may take
EVIDENCE_FOLDER = ROOT / ".local" / "faults"


@dataclass
class ChaosRun:
    """One run as far as it has come, so that a run that fails can say how far that was."""

    plan: FaultPlan
    rate: float
    max_settle_seconds: float
    started: float = field(default_factory=time.monotonic)
    settle_seconds: float = 0.0
    injector: FaultInjector | None = None
    load: LoadGenerator | None = None
    verdict: RunVerdict = field(default_factory=RunVerdict)


async def run_chaos(
    seed: int, kills: int, max_settle_seconds: float = SETTLE_SECONDS, rate: float = CONTACTS_PER_SECOND
) -> dict[str, Any]:
    """Run everything once; return what `--json` prints. An exception is a run that does not hold."""
    run = ChaosRun(make_plan(seed, kills, LEASE), rate, max_settle_seconds)
    print_progress(f"faults: seed {seed}, {kills} worker kills in {run.plan.seconds:.0f} s")
    receiver = Receiver(ANSWER_SECONDS, seed)
    try:
        async with Deployment.running(lease=LEASE, receiver=receiver, WORKER_CONCURRENCY="2") as deployment:
            try:
                await run_faults(deployment, run)
            finally:
                if not run.verdict.holds or sys.exception() is not None:
                    await save_evidence(deployment, seed, run.verdict)
    except Exception as error:  # noqa: BLE001 -- a harness that fails has proved nothing, and must say so
        traceback.print_exc()
        why = f"the run itself failed: {type(error).__name__}: {error}"[:2000]
        return summarize(run) | {"holds": False, "why": [why, *run.verdict.why[:10]]}
    return summarize(run)


async def run_faults(deployment: Deployment, run: ChaosRun) -> None:
    """Create accounts, add load and faults, let everything settle, and judge."""
    await deployment.start_web()
    accounts = await create_accounts(deployment, ACCOUNTS)
    async with open_client(deployment.env["BASE_URL"]) as client:
        drafts = [await draft_second_version(account, client) for account in accounts]
    await install_observers(deployment)
    seconds = time.monotonic() - run.started
    print_progress(f"faults: servers and workflows are ready after {seconds:.0f} s; the faults begin")
    run.injector = injector = FaultInjector(deployment, run.plan)
    run.load = load = LoadGenerator(deployment, accounts, run.plan.seed, run.rate, acts=True)
    publisher = Publisher(deployment, accounts, run.plan.seconds / 3)
    coroutines = (load.run(), publisher.run(drafts), report_progress(injector, load))
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await injector.run()
        load.stopped.set()
        async with asyncio.timeout(MAX_ENDING_SECONDS + ENDING_RESERVE):
            await asyncio.gather(*tasks[:2])
    finally:
        for task in tasks:
            task.cancel()
    run.settle_seconds = await let_settle(deployment, run.max_settle_seconds)
    run.verdict = await judge(deployment, accounts)
    run.verdict.worker_exits = injector.counts["worker_exits"]
    deliveries = deployment.receiver.deliveries
    for sentence in missed_minimums(run.verdict, run.plan, injector.counts, load.number, deliveries):
        run.verdict.add("too_little", 1, sentence)


async def report_progress(injector: FaultInjector, load: LoadGenerator) -> None:
    """Print a line each minute until canceled."""
    while True:
        await asyncio.sleep(60)
        counts = injector.counts
        print_progress(
            f"faults: {counts['kill_worker']} workers and {counts['kill_postgres']} PostgreSQLs killed, "
            f"{load.number} contacts offered"
        )


async def let_settle(deployment: Deployment, max_seconds: float) -> float:
    """Let every worker run; return the seconds until nothing was due anymore, at most `max_seconds`."""
    for worker in deployment.workers:
        worker.signal(signal.SIGCONT)
        if not worker.is_alive():
            worker.start()
    try:
        return await wait_until(lambda: is_settled(deployment), max_seconds)
    except TimeoutError:
        return max_seconds


async def save_evidence(deployment: Deployment, seed: int, verdict: RunVerdict) -> None:
    """Save logs, reasons and rows, from which the cause can be found."""
    folder = EVIDENCE_FOLDER / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (deployment.base / "logs").glob("*.log"):
        (folder / path.name).write_bytes(path.read_bytes()[-20_000_000:])
    (folder / "why.txt").write_text("\n".join(verdict.why) + "\n")
    print_progress(f"faults: logs and rows are in {folder}")
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):  # it may be down
        for name, query in (
            ("effects", "select to_jsonb(f) - 'payload' as row from effects f where status not in ('sent')"),
            ("enrollments", "select to_jsonb(e) as row from enrollments e where status = 'active'"),
        ):
            rows = await deployment.sql(query)
            (folder / f"{name}.txt").write_text("\n".join(str(row["row"]) for row in rows) + "\n")


def summarize(run: ChaosRun) -> dict[str, Any]:
    """What `--json` prints of a run."""
    counts = run.injector.counts if run.injector else Counter[str]()
    recoveries = run.injector.recoveries if run.injector else []
    offered = [contact for account in run.load.accounts for contact in account.offered] if run.load else []
    answers = Counter(contact.error or str(contact.status) for contact in offered)
    later_answers = Counter(str(status) for contact in offered for status in contact.later_statuses)
    slowest = max((contact.seconds for contact in offered if contact.status), default=0.0)
    verdict = run.verdict
    return {
        "holds": verdict.holds,
        "seed": run.plan.seed,
        "seconds": round(time.monotonic() - run.started),
        "worker_kills": counts["kill_worker"],
        "worker_kills_of_the_dead": counts["dead_already"],
        "postgres_kills": counts["kill_postgres"],
        "redis_flushes": counts["flush"],
        "worker_stops": counts["stop_worker"],
        "connections_dropped": counts["drop_connections"],
        "valkey_freezes": counts["freeze_valkey"],
        "valkey_restarts": counts["restart_valkey"],
        "web_kills": counts["kill_web"],
        "offered": len(offered),
        "answers": dict(answers),
        "later_answers": dict(later_answers),
        "bought": sum(bool(contact.bought) for contact in offered),
        "unsubscribed": sum(bool(contact.unsubscribed) for contact in offered),
        "paused": sum(bool(contact.paused) for contact in offered),
        "slowest_answer": round(slowest, 2),
        "settling_seconds": round(run.settle_seconds, 1),
        "postgres_back_seconds_max": round(max(recoveries, default=0.0), 2),
        **{name: value for name, value in msgspec.to_builtins(verdict).items() if name != "why"},
        "why": verdict.why[:10],
    }
