"""Rows that are tests with scripted servers, races or clocks around real parts of the program."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from typing import Any

from scripts._lib.dev.virtualenv import ROOT
from scripts._lib.faults.scenarios import Scenario
from scripts._lib.faults.scenarios.harness import ScenarioFailed

PASSED = re.compile(r"(\d+) passed")
MAX_MINUTES = 10
ANSWERS_TEST = (
    "tests/integration/engine/effects/test_http_server_behaviors.py::test_each_response_has_its_outcome"
)


def pytest_scenario(summary: str, *arguments: str) -> Scenario:
    """A scenario that holds when pytest with these arguments passes at least one test."""

    async def scenario() -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *arguments,
            cwd=ROOT, stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60 * MAX_MINUTES):
                output = (await process.communicate())[0].decode()
        except TimeoutError:
            process.kill()
            raise ScenarioFailed(f"{', '.join(arguments)}: not done after {MAX_MINUTES} minutes.") from None
        passed = PASSED.search(output)
        if process.returncode != 0 or passed is None:
            command = f"pytest {' '.join(arguments)}"
            raise ScenarioFailed(f"{command} ended with code {process.returncode}: {output[-1500:]}")
        return {"tests": int(passed[1])}

    scenario.__doc__ = f"{summary}."
    return scenario


f02_commit_boundaries = pytest_scenario("Run a part of `--matrix`", "tests/faults/test_matrix.py")
f05_commits_fail = pytest_scenario(
    "Call every mutating route while commits fail", "tests/faults/test_commit_fails.py"
)
f08_deliveries_come_three_times = pytest_scenario(
    "Send inbound webhooks three times at once, and again after 25 hours",
    "tests/web/test_inbound_webhooks.py::test_each_delivery_once_in_parallel_and_for_thirty_days",
)
f11_clocks_change = pytest_scenario(
    "Try every time zone and every change of its clock",
    "tests/unit/engine/core/timing/test_every_time_zone.py",
)
f12_servers_are_slow = pytest_scenario(
    "Call HTTP servers that are slow or broken",
    "tests/integration/engine/effects/test_http_server_behaviors.py",
    f"--deselect={ANSWERS_TEST}",
)
f13_servers_answer = pytest_scenario("Check the meaning of each answer of an HTTP server", ANSWERS_TEST)
f14_steps_are_poison = pytest_scenario("Run steps that kill their worker", "tests/faults/test_crashes.py")
f16_idle_workers_leave = pytest_scenario("Restart idle and busy workers", "tests/faults/test_restarts.py")
f18_workflow_is_edited = pytest_scenario(
    "Edit, archive and delete a workflow with active enrollments",
    "tests/integration/engine/advancing/test_concurrent_changes.py",
    "tests/integration/workflows/test_publication.py",
)
f20_mail_servers = pytest_scenario(
    "Call mail servers that are slow or broken",
    "tests/integration/engine/effects/test_smtp_server_behaviors.py",
)
f21_unsubscribed = pytest_scenario(
    "Unsubscribe or delete a contact between claim and call",
    "tests/integration/engine/effects/test_recheck_before_sending.py",
)
f22_goal_met = pytest_scenario(
    "Meet a goal during a call or a wait",
    "tests/unit/engine/core/test_goals.py",
    "tests/unit/engine/core/test_advance_properties.py",
    "tests/simulation/test_simulation.py",
    "tests/integration/engine/advancing/test_interruptions.py",
)
f23_workflows_start_each_other = pytest_scenario(
    "Let workflows start one another", "tests/integration/engine/test_end_to_end.py"
)
f25_restored = pytest_scenario("Restore the database from a backup", "tests/faults/test_restore_guard.py")
