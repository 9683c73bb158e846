"""Random workflows of every step kind."""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from app.engine.core import steps
from app.engine.core.draft import Draft, WorkflowSettings, walk
from app.engine.core.steps import MAIN, OnDoubt, StepConfig, Unit, lane_keys
from app.engine.core.version import Program, compile_version, freeze
from app.filters.ast import Filter
from app.workflows.domain.draft_edits import insert, update
from tests.support.engine_kit import COLD, FIELDS, SCORE, SINCE, VIP, ask, lane

ADA, BOB, EVE = (UUID(int=number) for number in (501, 502, 503))
TEAM = [ADA, BOB, EVE]
EVENTS = [
    ("tag.added", str(VIP)),
    ("tag.removed", str(COLD)),
    ("note.added", ""),
    ("contact.updated", "city"),
]
POINTS, DAY = f"custom.{SCORE}", f"custom.{SINCE}"
CITIES = ["Rome", "Paris", "Oslo", ""]


def a_filter(rng: Random) -> Filter:
    return rng.choice(
        [
            ask("tags", "any_of", [str(VIP)]),
            ask("tags", "none_of", [str(COLD)]),
            ask("city", "is", rng.choice(CITIES[:3])),
            ask(POINTS, "gt", rng.randint(0, 8)),
            ask("owner", "unassigned"),
        ]
    )


def _some_time(rng: Random) -> dict[str, Any]:
    return {"amount": rng.randint(1, 3), "unit": rng.choice([Unit.MINUTES, Unit.HOURS, Unit.DAYS])}


def _window(rng: Random) -> steps.Window | None:
    if rng.random() < 0.6:
        return None
    days = rng.sample(range(7), rng.randint(0, 3))
    zone = rng.choice(["account", "contact", "Asia/Tokyo", "America/New_York"])
    return steps.Window(days, rng.choice(["09:00", "22:00", "02:30"]), rng.choice(["17:00", "06:00"]), zone)


def _doubt(rng: Random) -> OnDoubt:
    return rng.choice(list(OnDoubt))


def _update(rng: Random) -> StepConfig:
    return rng.choice(
        [
            steps.UpdateField(field="city", value=rng.choice(CITIES)),
            steps.UpdateField(field="city", operation="clear"),
            steps.UpdateField(field=POINTS, operation="add", value="1"),
            steps.UpdateField(field=POINTS, value="{{ contact.city }}"),
            steps.UpdateField(field="state", operation="copy", source="city"),
        ]
    )


def _wait(rng: Random) -> StepConfig:
    past: Any = rng.choice(["continue", "skip_to", "exit"])
    return rng.choice(
        [
            steps.Wait(**_some_time(rng)),
            steps.Wait(mode="until", until=f"2026-11-{rng.randint(20, 30)}T09:30", past=past),
            steps.Wait(mode="date_field", field=DAY, offset=rng.randint(-2, 3), at="09:00", past=past),
            steps.Wait(mode="recurring", weekdays=[rng.randrange(7)], at="02:30"),
            steps.Wait(mode="recurring", month_day=rng.randint(1, 31)),
        ]
    )


def _wait_for(rng: Random) -> StepConfig:
    if rng.random() < 0.5:
        return steps.WaitFor(filter=a_filter(rng), **_some_time(rng))
    event, about = rng.choice(EVENTS)
    condition = a_filter(rng) if rng.random() < 0.3 else None
    return steps.WaitFor(mode="event", event=event, about=about, filter=condition, **_some_time(rng))


def _owner(rng: Random) -> StepConfig:
    mode: Any = rng.choice(["user", "round_robin", "least_busy", "nobody"])
    return steps.AssignOwner(
        mode=mode, users=rng.sample(TEAM, rng.randint(1, 3)), only_if_unassigned=rng.random() < 0.3
    )


def _branch(rng: Random) -> StepConfig:
    return steps.Branch(branches=[lane(f"b{number}", a_filter(rng)) for number in range(rng.randint(1, 2))])


def _split(rng: Random) -> StepConfig:
    return steps.Split(
        lanes=[steps.SplitLane(f"b{number}", "", number + rng.randint(0, 2)) for number in (0, 1)]
    )


def _approval(rng: Random) -> StepConfig:
    options = [steps.ApprovalOption("b1", "Yes"), steps.ApprovalOption("b2", "No")]
    return steps.AskApproval(question="{{ contact.city }}?", options=options, **_some_time(rng))


def _goal(rng: Random) -> StepConfig:
    unmet: Any = rng.choice(["wait", "continue", "end"])
    return steps.Goal(filter=a_filter(rng), on_unmet=unmet, **_some_time(rng))


def _webhook(rng: Random) -> StepConfig:
    save_as = rng.choice(["", "crm"])
    body = '{"was": "{{ response.crm.id }}"}'
    return steps.Webhook(
        url="https://x.test", body=body, on_doubt=_doubt(rng), save_as=save_as, window=_window(rng)
    )


def _blank_step(kind: str, _rng: Random) -> StepConfig:
    return steps.blank(kind)


_MAKERS: list[Callable[[Random], StepConfig]] = [
    lambda rng: steps.AddTag(tag=rng.choice([VIP, COLD])),
    lambda rng: steps.RemoveTag(tag=rng.choice([VIP, COLD])),
    _update,
    _owner,
    lambda _rng: steps.AddNote(text="{{ contact.city }}"),
    lambda _rng: steps.CreateTask(title="Call {{ contact.city }}"),
    lambda rng: steps.SetConsent(
        channel=rng.choice(["email", "sms"]), state=rng.choice(["granted", "denied"])
    ),
    lambda rng: steps.SendEmail(
        subject="{{ contact.city }}", body="x", on_doubt=_doubt(rng), window=_window(rng)
    ),
    lambda rng: steps.SendEmail(subject="x", body="x", on_doubt=_doubt(rng)),
    lambda rng: steps.SendSms(body="x", on_doubt=_doubt(rng), window=_window(rng)),
    lambda rng: steps.Notify(to="everyone", title="x", email=rng.random() < 0.5),
    lambda rng: steps.Chat(channel="c", text="x", on_doubt=_doubt(rng), window=_window(rng)),
    _webhook,
    _wait,
    _wait,
    _wait_for,
    _branch,
    _split,
    _goal,
    lambda _rng: steps.GoTo(step=""),
    lambda rng: steps.AddToWorkflow(workflow=UUID(int=rng.choice([100, 101, 102]))),
    lambda rng: steps.RemoveFromWorkflow(workflow=rng.choice([None, UUID(int=101)])),
    lambda rng: steps.Drip(count=rng.randint(1, 2), **_some_time(rng)),
    _approval,
]
_RARE: list[Callable[[Random], StepConfig]] = [lambda _rng: steps.DeleteContact(), lambda _rng: steps.Exit()]
# The other kinds take part as they are inserted: blank.
_KINDS_WITH_MAKER = {make(Random(0)).__struct_config__.tag for make in (*_MAKERS, *_RARE)}  # noqa: S311 -- not a secret
_MAKERS += [partial(_blank_step, kind) for kind in steps.KINDS if kind not in _KINDS_WITH_MAKER]


def a_program(rng: Random, workflow_id: UUID, number: int) -> Program:
    """A version that would pass the lint, mostly of steps that do something."""
    new_draft, lists = Draft(), [MAIN]
    for _ in range(rng.randint(2, 9)):
        key = f"s{new_draft.next_key}"
        config = rng.choice(_RARE if rng.random() < 0.04 else _MAKERS)(rng)
        new_draft = insert(new_draft, rng.choice([MAIN, *lists]), rng.randint(0, 9), config)
        lists += [f"{key}.{name}" for name in lane_keys(config)]
    for _, _, step in list(walk(new_draft.steps)):
        new_draft = _aimed(rng, new_draft, step)
    settings = WorkflowSettings(
        settle_seconds=rng.choice([0, 0, 0, 60]),
        leave_when_unmatched=rng.random() < 0.15,
        window=_window(rng) if rng.random() < 0.2 else None,
    )
    entry = a_filter(rng) if rng.random() < 0.4 else None
    new_draft = replace(new_draft, settings=settings, entry=entry)
    return compile_version(freeze(new_draft, workflow_id, number), FIELDS)


def _aimed(rng: Random, new_draft: Draft, step: steps.Step) -> Draft:
    """Go-tos and skip-tos lead to another step, mostly one further down."""
    config, keys = step.config, [other.key for _, _, other in walk(new_draft.steps)]
    ahead = keys[keys.index(step.key) + 1 :]
    target = rng.choice(ahead if ahead and rng.random() < 0.95 else keys)
    if isinstance(config, steps.GoTo):
        return update(new_draft, step.key, steps.GoTo(step=target))
    if isinstance(config, steps.Wait):
        return update(new_draft, step.key, replace(config, skip_to=target))
    return new_draft
