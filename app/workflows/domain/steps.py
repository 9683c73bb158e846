"""The step kinds with their typed configs. A freshly inserted step has a blank config that may be saved;
`lint` says what still keeps it from being published."""

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from app.filters.ast import Filter

ELSE = "else"
MAIN = "main"

Amount = Annotated[int, Meta(ge=1, le=100_000)]
Line = Annotated[str, Meta(max_length=500)]
Text = Annotated[str, Meta(max_length=50_000)]


class Unit(StrEnum):
    SECONDS = "seconds"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"


class OnDoubt(StrEnum):
    """What a crash in the middle of a call does: hold it for a person, or send again with the same key."""

    HOLD = "hold"
    RESEND = "resend"


class _Config(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    omit_defaults=False,
):
    """Every config is one struct of the union `StepConfig`, told apart by `kind`."""


class AddTag(_Config, frozen=True, tag="add_tag"):
    tag: UUID | None = None


class RemoveTag(_Config, frozen=True, tag="remove_tag"):
    tag: UUID | None = None


class UpdateField(_Config, frozen=True, tag="update_field"):
    """`value` is a template; what it renders to must fit the field's type. Empty text clears."""

    field: Line = ""
    operation: Literal["set", "clear"] = "set"
    value: Text = ""


class SendEmail(_Config, frozen=True, tag="send_email"):
    """`subject`, `body`, `from_name` and `reply_to` are templates; the body is plain text."""

    subject: Line = ""
    body: Text = ""
    from_name: Line = ""
    reply_to: Line = ""
    on_doubt: OnDoubt = OnDoubt.HOLD


class Webhook(_Config, frozen=True, tag="webhook"):
    """`url`, header values and `body` are templates; the body must render to JSON, or be empty for none."""

    url: Annotated[str, Meta(max_length=2000)] = ""
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: dict[str, Line] = {}
    body: Text = '{"contact": "{{ contact.id }}", "email": "{{ contact.email }}"}'
    on_doubt: OnDoubt = OnDoubt.RESEND


class Wait(_Config, frozen=True, tag="wait"):
    """For `amount` `unit`s, or until `until`: an ISO date and time, local to the account unless it carries an
    offset. `past` says what happens when that moment is already over."""

    mode: Literal["duration", "until"] = "duration"
    amount: Amount = 1
    unit: Unit = Unit.DAYS
    until: Line = ""
    past: Literal["continue", "exit"] = "continue"


class BranchLane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way out of a branch; lanes are tried in order and the first whose filter matches is taken."""

    key: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,20}\Z")]
    name: Line = ""
    filter: Filter | None = None


class Branch(_Config, frozen=True, tag="branch"):
    """The lanes, besides the *else* that every branch has. All of them meet again after the branch."""

    branches: Annotated[list[BranchLane], Meta(max_length=20)] = []
    else_name: Line = "Else"


class Goal(_Config, frozen=True, tag="goal"):
    """Listens from entry: who meets it further up jumps here. `on_unmet` is for who arrives without."""

    name: Line = ""
    filter: Filter | None = None
    on_unmet: Literal["wait", "continue", "end"] = "end"
    amount: Amount = 7
    unit: Unit = Unit.DAYS


class Exit(_Config, frozen=True, tag="exit"):
    """Leaves the workflow here; `reason` is a label for people."""

    reason: Line = ""


# Where later kinds go: contact (assign owner, note, task, consent, opportunity, delete), send (SMS, internal
# notification, chat), flow (split, go to, add to or remove from a workflow, drip, approval).
StepConfig = AddTag | RemoveTag | UpdateField | SendEmail | Webhook | Wait | Branch | Goal | Exit

KINDS: dict[str, type[StepConfig]] = {
    "send_email": SendEmail,
    "webhook": Webhook,
    "add_tag": AddTag,
    "remove_tag": RemoveTag,
    "update_field": UpdateField,
    "wait": Wait,
    "branch": Branch,
    "goal": Goal,
    "exit": Exit,
}
LABELS: dict[str, str] = {
    "send_email": "Send e-mail",
    "webhook": "Call a webhook",
    "add_tag": "Add tag",
    "remove_tag": "Remove tag",
    "update_field": "Update field",
    "wait": "Wait",
    "branch": "Branch",
    "goal": "Goal",
    "exit": "Exit",
}


def kind_of(config: StepConfig) -> str:
    """The `kind` under which this config is stored."""
    return str(config.__struct_config__.tag)


def blank(kind: str) -> StepConfig:
    """The config of a step just inserted; a branch starts with one lane. Raises ValueError for a kind that
    does not exist."""
    if kind not in KINDS:
        raise ValueError(f"There is no step kind “{kind[:40]}”. Kinds are {', '.join(KINDS)}.")
    if kind == "branch":
        return Branch(branches=[BranchLane("b1", "Yes")])
    return KINDS[kind]()


class Step(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One step of a draft. `lanes` of a branch hold its nested lists by branch key, *else* included."""

    key: str
    config: StepConfig
    name: str = ""
    note: str = ""
    lanes: dict[str, list["Step"]] = {}

    @property
    def kind(self) -> str:
        return kind_of(self.config)


def lane_keys(config: StepConfig) -> list[str]:
    """The lanes that a step of this config has, in order; none for anything but a branch."""
    return [*(lane.key for lane in config.branches), ELSE] if isinstance(config, Branch) else []
