"""Rules in local time become instants."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.engine.core.steps import Drip, Unit, Wait, Window
from app.engine.core.timing.cron import Cron
from app.engine.core.timing.drip import take_slot
from app.engine.core.timing.recurrence import Either, Monthly, Weekly, date_instant, next_after, occurrences
from app.engine.core.timing.sending_window import next_opening
from app.engine.core.timing.wait_times import period_end, recurring
from tests.support.engine_kit import PARIS

NEW_YORK = ZoneInfo("America/New_York")
UTC_ZONE = ZoneInfo("UTC")


def at(text: str, zone: ZoneInfo = UTC_ZONE) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def shown(moment: datetime | None, zone: ZoneInfo = UTC_ZONE) -> str:
    return moment.astimezone(zone).strftime("%a %Y-%m-%d %H:%M") if moment else "never"


@pytest.mark.parametrize(
    ("cron", "now", "then"),
    [
        ("0 9 * * 1", "2026-11-24 09:30", "Mon 2026-11-30 09:00"),
        ("0 9 * * 1", "2026-11-30 09:00", "Mon 2026-12-07 09:00"),
        ("*/15 * * * *", "2026-11-24 09:30", "Tue 2026-11-24 09:45"),
        ("*/15 * * * *", "2026-11-24 23:45", "Wed 2026-11-25 00:00"),
        ("30 9-17/2 * * mon-fri", "2026-11-27 17:31", "Mon 2026-11-30 09:30"),
        ("5,35 8 * * *", "2026-11-24 08:05", "Tue 2026-11-24 08:35"),
        ("0 0 1 jan *", "2026-11-24 00:00", "Fri 2027-01-01 00:00"),
        ("0 0 29 2 *", "2026-11-24 00:00", "Tue 2028-02-29 00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00", "Fri 2104-02-29 00:00"),
        ("0 0 30 2 *", "2026-11-24 00:00", "never"),
        # Both day fields given: either of them.
        ("0 0 13 * 5", "2026-11-24 00:00", "Fri 2026-11-27 00:00"),
        ("0 0 13 * 5", "2026-12-11 00:00", "Sun 2026-12-13 00:00"),
        # One of them begins with a star: both of them.
        ("0 0 */2 * 5", "2026-11-24 00:00", "Fri 2026-11-27 00:00"),
        ("0 0 1-7 * *", "2026-11-24 00:00", "Tue 2026-12-01 00:00"),
        ("0 0 * * 7", "2026-11-24 00:00", "Sun 2026-11-29 00:00"),
        ("0 0 * * 0", "2026-11-24 00:00", "Sun 2026-11-29 00:00"),
        ("0 0 * * fri-sun", "2026-11-24 00:00", "Fri 2026-11-27 00:00"),
        ("0 0 31 * *", "2026-11-24 00:00", "Thu 2026-12-31 00:00"),
        ("50/5 23 * DEC SUN", "2026-11-24 00:00", "Sun 2026-12-06 23:50"),
    ],
)
def test_cron(cron: str, now: str, then: str) -> None:
    assert shown(next_after(Cron(cron), at(now), UTC_ZONE)) == then


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "1,, * * * *",
        "- * * * *",
        "1- * * * *",
        "* * * mon *",
        "²* * * * *",
        "@daily",
    ],
)
def test_invalid_cron_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"[.]$"):
        Cron(cron)


def test_cron_across_daylight_saving_changes() -> None:
    # New York, 2026-03-08: 02:00 becomes 03:00. 2026-11-01: 02:00 becomes 01:00.
    gap = at("2026-03-08 01:00", NEW_YORK)
    assert shown(next_after(Cron("30 2 * * *"), gap, NEW_YORK), NEW_YORK) == "Sun 2026-03-08 03:00"
    days = occurrences(Cron("30 2 * * *"), at("2026-03-07 00:00"), at("2026-03-10 23:00"), NEW_YORK, 9)
    assert [shown(moment, NEW_YORK) for moment in days] == [
        "Sat 2026-03-07 02:30",
        "Sun 2026-03-08 03:00",
        "Mon 2026-03-09 02:30",
        "Tue 2026-03-10 02:30",
    ]
    # What falls into one jump strikes once, and not again for what the clock shows right after it.
    hourly = occurrences(Cron("*/20 * * * *"), gap, at("2026-03-08 03:20", NEW_YORK), NEW_YORK, 99)
    assert [shown(moment, NEW_YORK)[-5:] for moment in hourly] == ["01:20", "01:40", "03:00", "03:20"]
    twice = at("2026-11-01 01:00", NEW_YORK)
    half_hours = occurrences(Cron("30 * * * *"), twice, at("2026-11-01 03:30", NEW_YORK), NEW_YORK, 99)
    assert [moment.strftime("%H:%M") for moment in half_hours] == ["05:30", "07:30", "08:30"]


def test_occurrences_are_the_oldest_first_and_few() -> None:
    since, now = at("2026-01-01 00:00"), at("2026-11-24 00:00")
    missed = occurrences(Cron("0 0 1 * *"), since, now, UTC_ZONE, 3)
    assert [shown(moment)[4:14] for moment in missed] == ["2026-02-01", "2026-03-01", "2026-04-01"]
    assert occurrences(Cron("0 0 1 * *"), now, now, UTC_ZONE, 3) == []
    assert occurrences(Cron("0 0 24 11 *"), since, now, UTC_ZONE, 3) == [now]  # the end belongs to it


@pytest.mark.parametrize(
    ("wait", "then"),
    [
        (Wait(mode="recurring", weekdays=[1], at="09:00"), "Tue 2026-12-01 09:00"),
        (Wait(mode="recurring", weekdays=[1], at="11:00"), "Tue 2026-11-24 11:00"),
        (Wait(mode="recurring", weekdays=[5, 6]), "Sat 2026-11-28 00:00"),
        (Wait(mode="recurring", month_day=31, at="08:00"), "Mon 2026-11-30 08:00"),
        (Wait(mode="recurring", month_day=1), "Tue 2026-12-01 00:00"),
        (Wait(mode="recurring", month_day=1, weekdays=[0]), "Mon 2026-11-30 00:00"),
    ],
)
def test_recurring_waits(wait: Wait, then: str) -> None:
    assert shown(next_after(recurring(wait), at("2026-11-24 10:30", PARIS), PARIS), PARIS) == then


def test_the_last_day_of_february() -> None:
    rule = Monthly(30, "06:00")
    assert shown(next_after(rule, at("2027-01-31 00:00"), UTC_ZONE)) == "Sun 2027-02-28 06:00"
    assert shown(next_after(rule, at("2028-01-31 00:00"), UTC_ZONE)) == "Tue 2028-02-29 06:00"


def test_recurrence_without_days_is_refused_or_empty() -> None:
    assert next_after(Either(), at("2026-01-01 00:00"), UTC_ZONE) is None
    assert next_after(Weekly([], ""), at("2026-01-01 00:00"), UTC_ZONE) is None


def test_dates_of_fields() -> None:
    assert shown(date_instant("2026-12-24", -3, "09:00", PARIS), PARIS) == "Mon 2026-12-21 09:00"
    assert shown(date_instant("2026-12-24", 0, "", PARIS), PARIS) == "Thu 2026-12-24 00:00"
    # An instant counts with its local day.
    assert shown(date_instant(at("2026-12-24 23:30"), 0, "08:00", PARIS), PARIS) == "Fri 2026-12-25 08:00"
    assert shown(date_instant("2026-12-24T22:30:15Z", 1, "", PARIS), PARIS) == "Fri 2026-12-25 23:30"
    assert shown(date_instant("2026-12-24T23:30:00Z", 0, "08:00", PARIS), PARIS) == "Fri 2026-12-25 08:00"
    assert date_instant(None, 0, "", PARIS) is None
    assert date_instant("soon", 0, "", PARIS) is None
    assert date_instant("9999-12-31", 3660, "", PARIS) is None
    # Cairo has no midnight on 2026-04-24.
    cairo = ZoneInfo("Africa/Cairo")
    assert shown(date_instant("2026-04-24", 0, "", cairo), cairo) == "Fri 2026-04-24 01:00"


OFFICE = Window(days=[0, 1, 2, 3, 4], start="09:00", end="17:00")
NIGHT = Window(days=[4], start="22:00", end="06:00")


@pytest.mark.parametrize(
    ("window", "now", "then"),
    [
        (OFFICE, "2026-11-24 10:30", "Tue 2026-11-24 10:30"),
        (OFFICE, "2026-11-24 08:59", "Tue 2026-11-24 09:00"),
        (OFFICE, "2026-11-24 17:00", "Wed 2026-11-25 09:00"),
        (OFFICE, "2026-11-27 18:00", "Mon 2026-11-30 09:00"),
        (NIGHT, "2026-11-24 10:30", "Fri 2026-11-27 22:00"),
        (NIGHT, "2026-11-28 05:59", "Sat 2026-11-28 05:59"),
        (NIGHT, "2026-11-28 06:00", "Fri 2026-12-04 22:00"),
        (NIGHT, "2026-11-27 03:00", "Fri 2026-11-27 22:00"),
        (Window(start="00:00", end="00:00"), "2026-11-24 10:30", "Tue 2026-11-24 10:30"),
        (Window(days=[6], start="12:00", end="12:00"), "2026-11-30 11:00", "Mon 2026-11-30 11:00"),
        (Window(days=[6], start="12:00", end="12:00"), "2026-11-30 12:00", "Sun 2026-12-06 12:00"),
    ],
)
def test_windows(window: Window, now: str, then: str) -> None:
    moment = at(now, PARIS)
    opening = next_opening(window, moment, PARIS)
    assert shown(opening, PARIS) == then
    assert next_opening(window, opening, PARIS) == opening


def test_sending_windows_across_daylight_saving_changes() -> None:
    inside = Window(start="02:10", end="02:50")
    opens = next_opening(inside, at("2026-03-08 01:00", NEW_YORK), NEW_YORK)
    assert shown(opens, NEW_YORK) == "Mon 2026-03-09 02:10"  # there is no such time on the eighth
    over = next_opening(Window(start="02:30", end="05:00"), at("2026-03-08 01:00", NEW_YORK), NEW_YORK)
    assert shown(over, NEW_YORK) == "Sun 2026-03-08 03:00"
    # 01:30 comes twice on the first of November; open from the first on, without a break.
    twice = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)  # the second 01:10
    assert next_opening(Window(start="01:30", end="05:00"), twice, NEW_YORK) == twice


def test_drip_slots_are_fair_and_never_exceed_the_limit() -> None:
    drip, state = Drip(count=2, amount=1, unit=Unit.HOURS), dict[str, Any]()
    now = at("2026-11-24 09:00")
    slots = [take_slot(drip, state, now, PARIS) for _ in range(5)]
    assert [shown(slot)[-5:] for slot in slots] == ["09:00", "09:00", "10:00", "10:00", "11:00"]
    # Later, while the queue is still long: behind all that wait.
    late = take_slot(drip, state, at("2026-11-24 09:30"), PARIS)
    assert shown(late)[-5:] == "11:00"
    assert shown(take_slot(drip, state, at("2026-11-24 10:30"), PARIS))[-5:] == "12:00"
    # The present period continues, and a new one begins with the first arrival after it.
    assert shown(take_slot(drip, state, at("2026-11-24 12:30"), PARIS))[-5:] == "12:30"
    assert shown(take_slot(drip, state, at("2026-11-24 12:40"), PARIS))[-5:] == "13:00"
    assert shown(take_slot(drip, state, at("2026-11-24 15:15"), PARIS))[-5:] == "15:15"
    assert state == {"start": "2026-11-24T15:15:00+00:00", "taken": 1}


def test_waits_of_days_keep_the_local_time() -> None:
    before = at("2026-03-28 09:30", PARIS)
    assert shown(period_end(1, Unit.DAYS, before, PARIS), PARIS) == "Sun 2026-03-29 09:30"
