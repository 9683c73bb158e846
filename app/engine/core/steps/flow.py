"""Steps that decide where and when somebody goes on."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.engine.core.steps.base import Amount, Config, LaneKey, Line, Past, Text, TimeOfDay, Unit, Weekday
from app.engine.core.steps.contact import Users
from app.filters.ast import Filter

StepKey = Annotated[str, Meta(max_length=20)]


class Wait(Config, frozen=True, tag="wait"):
    """Until a moment that is known on arrival.

    `duration`: `amount` `unit`s. `until`: an ISO date and time, local to the account unless it carries an
    offset. `date_field`: the day in the date field `field`, `offset` days later (earlier when negative), at
    the local time `at` (or the first instant of the day). `recurring`: the next of `weekdays`, or the next
    `month_day` (0 is none; the last day where a month is shorter), at `at`.
    `past` says what happens when that moment is already over (or the date field is empty)."""

    mode: Literal["duration", "until", "date_field", "recurring"] = "duration"
    amount: Amount = 1
    unit: Unit = Unit.DAYS
    until: Line = ""
    field: Line = ""
    offset: Annotated[int, Meta(ge=-3660, le=3660)] = 0
    at: TimeOfDay = ""
    weekdays: Annotated[list[Weekday], Meta(max_length=7)] = []
    month_day: Annotated[int, Meta(ge=0, le=31)] = 0
    past: Past = "continue"
    skip_to: StepKey = ""


# The modes of a wait whose moment may be over on arrival; only they ask what its `past` says.
MAY_BE_OVER = ("until", "date_field")
MET, TIMEOUT = "met", "timeout"


class WaitFor(Config, frozen=True, tag="wait_for"):
    """Until something happens, at most `amount` `unit`s; two lanes, `met` and `timeout`.

    `event`: the contact has an event of kind `event` (a name of `EVENT_KINDS`), about `about` where that
    kind has a key (a tag's id, a field's key, a workflow's id), while `filter` holds. `condition`: `filter`
    holds; asked on arrival and after each change."""

    mode: Literal["event", "condition"] = "condition"
    event: Line = ""
    about: Line = ""
    filter: Filter | None = None
    amount: Amount = 7
    unit: Unit = Unit.DAYS


class BranchLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way out of a branch; lanes are tried in order and the first whose filter matches is taken."""

    key: LaneKey
    name: Line = ""
    filter: Filter | None = None


class Branch(Config, frozen=True, tag="branch"):
    """The lanes, besides the *else* that every branch has. All of them meet again after the branch."""

    branches: Annotated[list[BranchLane], Meta(max_length=20)] = []
    else_name: Line = "Else"


class SplitLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`weight` is a share of the sum of all weights of the split."""

    key: LaneKey
    name: Line = ""
    weight: Annotated[int, Meta(ge=0, le=1000)] = 1


class Split(Config, frozen=True, tag="split"):
    """By chance, and always the same lane for the same contact and step."""

    lanes: Annotated[list[SplitLane], Meta(max_length=20)] = []


class Goal(Config, frozen=True, tag="goal"):
    """Listens from entry: who meets it further up jumps here. `on_unmet` is for who arrives without."""

    name: Line = ""
    filter: Filter | None = None
    on_unmet: Literal["wait", "continue", "end"] = "end"
    amount: Amount = 7
    unit: Unit = Unit.DAYS


class GoTo(Config, frozen=True, tag="go_to"):
    """Goes on at another step, also one further up."""

    step: StepKey = ""


class AddToWorkflow(Config, frozen=True, tag="add_to_workflow"):
    """Asks for the contact to enter another workflow; that one's own rules decide."""

    workflow: UUID | None = None


class RemoveFromWorkflow(Config, frozen=True, tag="remove_from_workflow"):
    """The contact leaves another workflow, or with none named every other one."""

    workflow: UUID | None = None


class Drip(Config, frozen=True, tag="drip"):
    """At most `count` people in each stretch of `amount` `unit`s; the others wait for a slot, in the order
    in which they came."""

    count: Amount = 100
    amount: Amount = 1
    unit: Unit = Unit.HOURS


class ApprovalOption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: LaneKey
    name: Line = ""


class Approval(Config, frozen=True, tag="approval"):
    """A question to `users` (nobody named: everybody who may steer enrollments). Each option is a lane;
    without an answer in `amount` `unit`s the lane is `timeout`. `question` is a template."""

    question: Text = ""
    options: Annotated[list[ApprovalOption], Meta(max_length=10)] = []
    users: Users = []
    amount: Amount = 2
    unit: Unit = Unit.DAYS


class Exit(Config, frozen=True, tag="exit"):
    """Leaves the workflow here; `reason` is a label for people."""

    reason: Line = ""
