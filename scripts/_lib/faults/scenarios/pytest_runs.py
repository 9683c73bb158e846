"""Rows that the plan gives to scripted servers, races and clocks around real parts: each runs its tests."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from typing import Any

from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults.scenarios import Row
from scripts._lib.faults.scenarios.scenario import Broken, Scene

PASSED = re.compile(r"(\d+) passed")
MINUTES = 10


ANSWERS = "tests/integration/engine/effects/test_http_server_behaviors.py::test_each_answer_has_its_meaning"


def tested(what: str, *files: str) -> Row:
    """A row that holds when all these tests pass, and there are some. `files` are pytest's arguments."""

    async def row(_: type[Scene]) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *files,
            cwd=ROOT, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60 * MINUTES):
                said = (await process.communicate())[0].decode()
        except TimeoutError:
            process.kill()
            raise Broken(f"{', '.join(files)}: not done after {MINUTES} minutes.") from None
        passed = PASSED.search(said)
        if process.returncode != 0 or passed is None:
            raise Broken(f"pytest {' '.join(files)} ended with {process.returncode}: {said[-1500:]}")
        return {"tests": int(passed[1])}

    row.__doc__ = f"{what}."
    return row


f02_commit_boundaries = tested("Faults at the commits, a part of `--matrix`", "tests/faults/test_matrix.py")
f05_commits_fail = tested("Every mutating route while commits fail", "tests/faults/test_commit_fails.py")
f08_deliveries_come_three_times = tested(
    "Inbound webhooks three times at once, and again after 25 hours",
    "tests/web/test_inbound_webhooks.py::test_each_delivery_once_in_parallel_and_for_thirty_days",
)
f11_clocks_change = tested(
    "Every zone, every change of its clock", "tests/unit/engine/core/timing/test_every_time_zone.py"
)
f12_servers_are_slow = tested(
    "HTTP servers with bad manners",
    "tests/integration/engine/effects/test_http_server_behaviors.py",
    f"--deselect={ANSWERS}",
)
f13_servers_answer = tested("What each answer of an HTTP server means", ANSWERS)
f14_steps_are_poison = tested("Steps that end their worker", "tests/faults/test_crashes.py")
f16_idle_workers_leave = tested(
    "Restarts of workers that idle and that work", "tests/faults/test_restarts.py"
)
f18_workflow_is_edited = tested(
    "Edited, archived and deleted while people are on their way",
    "tests/integration/engine/advancing/test_concurrent_changes.py",
    "tests/integration/workflows/test_publication.py",
)
f20_mail_servers = tested(
    "Mail servers with bad manners", "tests/integration/engine/effects/test_smtp_server_behaviors.py"
)
f21_unsubscribed = tested(
    "Unsubscribed, deleted between claim and call",
    "tests/integration/engine/effects/test_recheck_before_sending.py",
)
f22_goal_met = tested(
    "A goal is met in flight or while waiting",
    "tests/unit/engine/core/test_goals.py",
    "tests/unit/engine/core/test_advance_properties.py",
    "tests/simulation/test_simulation.py",
    "tests/integration/engine/advancing/test_interruptions.py",
)
f23_workflows_chase_each_other = tested(
    "Workflows that start one another", "tests/integration/engine/test_end_to_end.py"
)
f25_restored = tested("Restored from a backup", "tests/faults/test_restore_guard.py")
