"""Titles of steps: those that name another step, and waits that end on one of several days."""

import pytest

from app.engine.core.draft import Draft
from app.engine.core.name_lookup import Names
from app.engine.core.step_titles import step_title, step_titles
from app.engine.core.steps import Drip, GoTo, SendEmail, Step, Wait
from app.engine.core.version import freeze
from tests.support.engine_kit import FIELDS, WORKFLOW


def titles(*steps: Step) -> dict[str, str]:
    return step_titles(freeze(Draft(steps=list(steps)), WORKFLOW, 1), FIELDS, Names())


def test_a_jump_names_its_target() -> None:
    email = Step("s1", SendEmail(subject="Hi {{ contact.first_name }}"), name="")
    named = Step("s2", SendEmail(subject="Hi"), name="Send welcome email")
    shown = titles(email, named, Step("s3", GoTo(step="s2")), Step("s4", GoTo(step="s1")))
    assert shown["s3"] == "Go to “Send welcome email”"
    assert shown["s4"] == f"Go to “{shown['s1']}”"


def test_a_jump_to_a_jump_is_not_followed() -> None:
    shown = titles(Step("s1", GoTo(step="s2")), Step("s2", GoTo(step="s1")))
    assert set(shown.values()) == {"Go to “Go to another step”"}


@pytest.mark.parametrize(("target", "title"), [("s9", "Go to a removed step"), ("", "Go to …")])
def test_a_jump_without_a_target(target: str, title: str) -> None:
    assert titles(Step("s1", GoTo(step=target)))["s1"] == title


@pytest.mark.parametrize(
    ("wait", "title"),
    [
        (Wait(mode="recurring", weekdays=[2, 0], at="08:00"), "Wait until Monday, Wednesday at 08:00"),
        (Wait(mode="recurring", month_day=3), "Wait until day 3 of the month"),
        (
            Wait(mode="recurring", month_day=3, weekdays=[0]),
            "Wait until Monday or day 3 of the month",
        ),
        (Wait(mode="recurring"), "Wait until …"),
    ],
)
def test_a_recurring_wait_names_every_day_that_ends_it(wait: Wait, title: str) -> None:
    assert step_title(Step("s1", wait), FIELDS, Names()) == title


@pytest.mark.parametrize(
    ("count", "title"), [(1, "Drip 1 contact every hour"), (20, "Drip 20 contacts every hour")]
)
def test_a_drip_counts_contacts(count: int, title: str) -> None:
    assert step_title(Step("s1", Drip(count=count)), FIELDS, Names()) == title
