"""The step kinds: one module each, with its config, execution, validation and sentences (see `StepKind`).

A new kind is registered here by two lines: its import, and its place in `StepConfig`. The order of that union
is the order in which members choose among the kinds. `docs/adding-a-step.md` has the whole checklist."""

import sys
from collections.abc import Mapping
from typing import get_args

import msgspec

from app.engine.core.scalars import Amount, Line, OnDoubt, Text, TimeOfDay, Unit, Weekday
from app.engine.core.steps.add_note import AddNote
from app.engine.core.steps.add_tag import AddTag
from app.engine.core.steps.add_to_workflow import AddToWorkflow
from app.engine.core.steps.approval import ApprovalOption, AskApproval
from app.engine.core.steps.assign_owner import AssignOwner
from app.engine.core.steps.base import (
    ELSE,
    MET,
    TIMEOUT,
    Execute,
    Lane,
    StepKind,
    skip_deleted_contact,
)
from app.engine.core.steps.branch import Branch, BranchLane
from app.engine.core.steps.chat import Chat
from app.engine.core.steps.create_task import CreateTask
from app.engine.core.steps.delete_contact import DeleteContact
from app.engine.core.steps.drip import Drip
from app.engine.core.steps.exit import Exit
from app.engine.core.steps.go_to import GoTo
from app.engine.core.steps.goal import Goal
from app.engine.core.steps.notify import Notify
from app.engine.core.steps.remove_from_workflow import RemoveFromWorkflow
from app.engine.core.steps.remove_tag import RemoveTag
from app.engine.core.steps.send_email import SendEmail
from app.engine.core.steps.send_sms import SendSms
from app.engine.core.steps.set_consent import SetConsent
from app.engine.core.steps.split import Split, SplitLane
from app.engine.core.steps.update_field import UpdateField
from app.engine.core.steps.wait import Wait
from app.engine.core.steps.wait_for import WaitFor
from app.engine.core.steps.webhook import Webhook
from app.engine.core.timing.sending_window import Window

StepConfig = (
    SendEmail
    | SendSms
    | Notify
    | Chat
    | Webhook
    | AddTag
    | RemoveTag
    | UpdateField
    | AssignOwner
    | AddNote
    | CreateTask
    | SetConsent
    | DeleteContact
    | Wait
    | WaitFor
    | Branch
    | Split
    | Goal
    | GoTo
    | Drip
    | AskApproval
    | AddToWorkflow
    | RemoveFromWorkflow
    | Exit
)

MAIN = "main"


def _kind_of_module(config: type) -> StepKind[StepConfig]:
    kind: StepKind[StepConfig] = sys.modules[config.__module__].KIND
    return kind


KINDS: dict[str, StepKind[StepConfig]] = {
    kind.key: kind for kind in (_kind_of_module(config) for config in get_args(StepConfig))
}
_BY_CONFIG: dict[type, StepKind[StepConfig]] = {kind.config: kind for kind in KINDS.values()}
GROUPS: dict[str, tuple[StepKind[StepConfig], ...]] = {
    group: tuple(kind for kind in KINDS.values() if kind.group == group)
    for group in dict.fromkeys(kind.group for kind in KINDS.values())
}

# What a visit executes, by the class of the config. For a deleted contact the steps that would change or
# address them are skipped, and the others are executed.
EXECUTE: Mapping[type, Execute] = {kind.config: kind.execute for kind in KINDS.values()}
EXECUTE_DELETED: Mapping[type, Execute] = {
    kind.config: skip_deleted_contact if kind.skips_deleted_contact else kind.execute
    for kind in KINDS.values()
}


def kind_of(config: StepConfig) -> StepKind[StepConfig]:
    """The kind of a config."""
    return _BY_CONFIG[type(config)]


def blank(kind: str) -> StepConfig:
    """The config of a step just inserted, which may be saved before it is complete. Raises ValueError for a
    kind that does not exist."""
    if kind not in KINDS:
        raise ValueError(f"There is no step type “{kind[:40]}”. The types are {', '.join(KINDS)}.")
    return (KINDS[kind].blank or KINDS[kind].config)()


class Step(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One step of a draft or a version. `lanes` holds the steps of each lane by its key."""

    key: str
    config: StepConfig
    name: str = ""
    note: str = ""
    lanes: dict[str, list["Step"]] = {}

    @property
    def kind(self) -> str:
        return kind_of(self.config).key


def lanes_of(config: StepConfig) -> list[Lane]:
    """The lanes of a step, in order; none for a step that has one way out."""
    return kind_of(config).lanes(config)


def lane_keys(config: StepConfig) -> list[str]:
    """The keys of `lanes_of`."""
    return [lane.key for lane in lanes_of(config)]


def lane_name(config: StepConfig, key: str) -> str:
    """The name of a lane; its key where it has none."""
    return next((lane.name for lane in lanes_of(config) if lane.key == key), "") or key


__all__ = [
    "ELSE",
    "EXECUTE",
    "EXECUTE_DELETED",
    "GROUPS",
    "KINDS",
    "MAIN",
    "MET",
    "TIMEOUT",
    "AddNote",
    "AddTag",
    "AddToWorkflow",
    "Amount",
    "ApprovalOption",
    "AskApproval",
    "AssignOwner",
    "Branch",
    "BranchLane",
    "Chat",
    "CreateTask",
    "DeleteContact",
    "Drip",
    "Exit",
    "GoTo",
    "Goal",
    "Line",
    "Notify",
    "OnDoubt",
    "RemoveFromWorkflow",
    "RemoveTag",
    "SendEmail",
    "SendSms",
    "SetConsent",
    "Split",
    "SplitLane",
    "Step",
    "StepConfig",
    "StepKind",
    "Text",
    "TimeOfDay",
    "Unit",
    "UpdateField",
    "Wait",
    "WaitFor",
    "Webhook",
    "Weekday",
    "Window",
    "blank",
    "kind_of",
    "lane_keys",
    "lane_name",
    "lanes_of",
]
