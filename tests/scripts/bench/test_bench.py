"""The column in lower case, as far as these values need it: ASCII always, and of the other capitals only
those whose lower case occurs in a value (no other can make a difference)."""

import msgspec
import pytest

from scripts._lib.bench import main, report, step_throughput
from scripts._lib.bench.testbed import place
from scripts._lib.dev.terminal import Problem

TINY = main.Sizes(
    people=60, rounds=1, jobs=20, events=60, event_rounds=1, herd=60, small=2, per_second=10, seconds=2,
    few=50, many=100, look_seconds=5,
)  # fmt: skip


@pytest.mark.slow
async def test_every_figure_and_the_same_rows() -> None:
    figures = await main.measure(main.PARTS, TINY)
    assert set(report.GOALS) <= set(figures)
    assert figures["draining"]["rows"] == {
        "contacts": 60, "contact_tags": 60, "enrollment_executions": 300, "events": 120, "audit_logs": 120,
        "enrollments": 60,
    }  # fmt: skip
    assert figures["early"] == 0
    assert msgspec.json.decode(msgspec.json.encode(figures)) == figures
    lines = report.table(figures).splitlines()
    assert all(any(words in line for line in lines) for words, _goal in report.GOALS.values())


@pytest.mark.slow
async def test_rows_that_differ_are_refused() -> None:
    """The comparison can fail: one value that somebody else wrote is seen."""
    async with place() as here:
        people = await step_throughput.crowd(here, 10)
        await step_throughput.by_sql(here, people)
        figures = step_throughput.Figures()
        await step_throughput.compare(here, people, figures)
        await here.admin.execute(
            "update audit_logs set actor_name = 'Other' where id = (select id from audit_logs limit 1)"
        )
        with pytest.raises(Problem, match="audit_logs"):
            await step_throughput.compare(here, people, figures)
