"""`scripts/bench engine` with tiny numbers: all keys are there, engine and SQL bound write the same rows."""

import msgspec
import pytest

from scripts._lib.bench import main, report, step_throughput
from scripts._lib.bench.testbed import running_testbed
from scripts._lib.dev.terminal import ScriptError

TINY = main.Sizes(
    contacts=60, rounds=1, jobs=20, events=60, event_rounds=1, herd=60, small=2, per_second=10, seconds=2,
    some_accounts=2, many_accounts=5, few=50, many=100, sample_seconds=5,
)  # fmt: skip


@pytest.mark.slow
async def test_engine_reports_every_figure_and_writes_the_rows_of_the_sql_bound() -> None:
    figures = await main.measure(main.PARTS, TINY)
    assert set(report.GOALS) <= set(figures)
    assert figures["draining"]["rows"] == {
        "contacts": 60, "contact_tags": 60, "enrollment_executions": 300, "events": 120, "audit_logs": 120,
        "enrollments": 60,
    }  # fmt: skip
    assert figures["early"] == figures["early_many_accounts"] == 0
    assert msgspec.json.decode(msgspec.json.encode(figures)) == figures
    lines = report.format_table(figures).splitlines()
    assert all(any(label in line for line in lines) for label, _goal in report.GOALS.values())


@pytest.mark.slow
async def test_rows_that_differ_are_refused() -> None:
    """The comparison can fail: it detects a single changed value."""
    async with running_testbed() as testbed:
        account = await step_throughput.seed_account(testbed, 10)
        await step_throughput.measure_sql_bound(testbed, account)
        figures = step_throughput.RoundFigures()
        await step_throughput.check_rows(testbed, account, figures)
        await testbed.admin.execute(
            "update audit_logs set actor_name = 'Other' where id = (select id from audit_logs limit 1)"
        )
        with pytest.raises(ScriptError, match="audit_logs"):
            await step_throughput.check_rows(testbed, account, figures)
