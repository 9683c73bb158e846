"""What the sweep enqueues, and what it runs itself. Times are seconds."""

from uuid import UUID

from app.ports import TurnName
from jobs.overdue import Due, OverdueWatch
from jobs.settings import CROWDED_SECONDS, OVERDUE_SECONDS

ACCOUNT = UUID(int=1)
DUE = Due("advance", ACCOUNT)
NO_JOBS: dict[TurnName, int] = {}


def test_what_is_due_is_enqueued_by_each_sweep() -> None:
    watch = OverdueWatch()
    for now in (0.0, 1.0, 1.9):
        plan = watch.plan([DUE], now, NO_JOBS)
        assert (plan.enqueue, plan.run) == ([DUE], [])


def test_what_is_due_for_two_seconds_runs_here() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, NO_JOBS)
    plan = watch.plan([DUE], OVERDUE_SECONDS, NO_JOBS)
    assert (plan.enqueue, plan.run) == ([], [DUE])


def test_an_overdue_account_runs_again_only_after_two_more_seconds() -> None:
    watch = OverdueWatch()
    runs = [bool(watch.plan([DUE], now, NO_JOBS).run) for now in (0.0, 2.0, 3.0, 4.0)]
    assert runs == [False, True, False, True]


def test_each_task_of_an_account_is_watched_by_itself() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, NO_JOBS)
    plan = watch.plan([DUE, Due("send", ACCOUNT)], 2.0, NO_JOBS)
    assert [entry.task for entry in plan.run] == ["advance"]
    assert [entry.task for entry in plan.enqueue] == ["send"]


def test_an_account_that_was_not_due_meanwhile_starts_anew() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, NO_JOBS)
    watch.plan([], 1.0, NO_JOBS)
    assert watch.plan([DUE], 2.0, NO_JOBS).run == []


def test_an_account_that_was_served_meanwhile_is_not_overdue() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, NO_JOBS)
    assert watch.plan([Due("advance", ACCOUNT, worked_at=1.5)], 2.0, NO_JOBS).run == []
    assert watch.plan([Due("advance", ACCOUNT, worked_at=1.5)], 4.0, NO_JOBS).run != []


def test_an_account_that_is_being_served_is_left_alone() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, NO_JOBS)
    plan = watch.plan([Due("advance", ACCOUNT, running=True)], 9.0, NO_JOBS)
    assert (plan.enqueue, plan.run) == ([], [])


def test_an_account_waits_longer_while_other_jobs_wait() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, {"advance": 1})
    assert watch.plan([DUE], OVERDUE_SECONDS, {"advance": 1}).run == []
    assert watch.plan([DUE], CROWDED_SECONDS, {"advance": 1}).run == [DUE]


def test_few_overdue_accounts_run_while_other_jobs_wait() -> None:
    """So that most turns come as jobs, also when there are more than the workers can do."""
    accounts = [Due("advance", UUID(int=number)) for number in range(100)]
    watch = OverdueWatch()
    watch.plan(accounts, 0.0, {"advance": 5})
    plan = watch.plan(accounts, CROWDED_SECONDS, {"advance": 5})
    assert plan.run == accounts[:5]
    assert plan.enqueue == accounts[5:]
    assert watch.plan(accounts, CROWDED_SECONDS + 1, {"advance": 1}).run == accounts[5:6]
    assert watch.plan(accounts, CROWDED_SECONDS + 1.5, NO_JOBS).run == accounts[6:]


def test_waiting_jobs_of_another_task_do_not_count() -> None:
    watch = OverdueWatch()
    watch.plan([DUE], 0.0, {"send": 9})
    assert watch.plan([DUE], OVERDUE_SECONDS, {"send": 9}).run == [DUE]


def test_what_fits_into_idle_places_runs_at_once() -> None:
    others = [Due("advance", UUID(int=number)) for number in (2, 3)]
    plan = OverdueWatch().plan([DUE, *others], 0.0, NO_JOBS, {"advance": 2})
    assert (plan.run, plan.enqueue) == ([DUE, others[0]], [others[1]])
