"""The step kinds with their typed configs. A freshly inserted step has a blank config that may be saved;
`lint` says what still keeps it from being published."""

import msgspec

from app.engine.core.steps.base import Amount, Line, OnDoubt, Text, TimeOfDay, Unit, Weekday, Window
from app.engine.core.steps.contact import (
    AddNote,
    AddTag,
    AssignOwner,
    CreateTask,
    DeleteContact,
    RemoveTag,
    SetConsent,
    UpdateField,
)
from app.engine.core.steps.flow import (
    MAY_BE_OVER,
    MET,
    TIMEOUT,
    AddToWorkflow,
    Approval,
    ApprovalOption,
    Branch,
    BranchLane,
    Drip,
    Exit,
    Goal,
    GoTo,
    RemoveFromWorkflow,
    Split,
    SplitLane,
    Wait,
    WaitFor,
)
from app.engine.core.steps.send import Chat, Notify, SendEmail, SendSms, Webhook

ELSE = "else"
MAIN = "main"

StepConfig = (
    AddTag
    | RemoveTag
    | UpdateField
    | AssignOwner
    | AddNote
    | CreateTask
    | SetConsent
    | DeleteContact
    | SendEmail
    | SendSms
    | Notify
    | Chat
    | Webhook
    | Wait
    | WaitFor
    | Branch
    | Split
    | Goal
    | GoTo
    | AddToWorkflow
    | RemoveFromWorkflow
    | Drip
    | Approval
    | Exit
)

KINDS: dict[str, type[StepConfig]] = {
    "send_email": SendEmail,
    "send_sms": SendSms,
    "notify": Notify,
    "chat": Chat,
    "webhook": Webhook,
    "add_tag": AddTag,
    "remove_tag": RemoveTag,
    "update_field": UpdateField,
    "assign_owner": AssignOwner,
    "add_note": AddNote,
    "create_task": CreateTask,
    "set_consent": SetConsent,
    "delete_contact": DeleteContact,
    "wait": Wait,
    "wait_for": WaitFor,
    "branch": Branch,
    "split": Split,
    "goal": Goal,
    "go_to": GoTo,
    "drip": Drip,
    "approval": Approval,
    "add_to_workflow": AddToWorkflow,
    "remove_from_workflow": RemoveFromWorkflow,
    "exit": Exit,
}
LABELS: dict[str, str] = {
    "send_email": "Send e-mail",
    "send_sms": "Send SMS",
    "notify": "Notify the team",
    "chat": "Post to chat",
    "webhook": "Call a webhook",
    "add_tag": "Add tag",
    "remove_tag": "Remove tag",
    "update_field": "Update field",
    "assign_owner": "Assign owner",
    "add_note": "Add note",
    "create_task": "Create task",
    "set_consent": "Set consent",
    "delete_contact": "Delete contact",
    "wait": "Wait",
    "wait_for": "Wait for",
    "branch": "Branch",
    "split": "Split",
    "goal": "Goal",
    "go_to": "Go to",
    "drip": "Drip",
    "approval": "Ask for approval",
    "add_to_workflow": "Add to workflow",
    "remove_from_workflow": "Remove from workflow",
    "exit": "Exit",
}
# As the picker shows them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Send": ("send_email", "send_sms", "notify", "chat", "webhook"),
    "Contact": (
        "add_tag",
        "remove_tag",
        "update_field",
        "assign_owner",
        "add_note",
        "create_task",
        "set_consent",
        "delete_contact",
    ),
    "Flow": (
        "wait",
        "wait_for",
        "branch",
        "split",
        "goal",
        "go_to",
        "drip",
        "approval",
        "add_to_workflow",
        "remove_from_workflow",
        "exit",
    ),
}


def kind_of(config: StepConfig) -> str:
    """The `kind` under which this config is stored."""
    return str(config.__struct_config__.tag)


def blank(kind: str) -> StepConfig:
    """The config of a step just inserted; what has lanes starts with some. Raises ValueError for a kind that
    does not exist."""
    if kind not in KINDS:
        raise ValueError(f"There is no step kind “{kind[:40]}”. Kinds are {', '.join(KINDS)}.")
    if kind == "branch":
        return Branch(branches=[BranchLane("b1", "Yes")])
    if kind == "split":
        return Split(lanes=[SplitLane("b1", "A"), SplitLane("b2", "B")])
    if kind == "approval":
        return Approval(options=[ApprovalOption("b1", "Approve"), ApprovalOption("b2", "Decline")])
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
    """The lanes that a step of this config has, in order; none for a step that has one way out."""
    match config:
        case Branch():
            return [*(lane.key for lane in config.branches), ELSE]
        case Split():
            return [lane.key for lane in config.lanes]
        case WaitFor():
            return [MET, TIMEOUT]
        case Approval():
            return [*(option.key for option in config.options), TIMEOUT]
        case _:
            return []


def lane_name(config: StepConfig, lane: str) -> str:
    """What people call a lane of this config; the key itself where it has no name."""
    named: dict[str, str] = {}
    match config:
        case Branch():
            named = {option.key: option.name for option in config.branches} | {
                ELSE: config.else_name or "Else"
            }
        case Split():
            named = {option.key: option.name for option in config.lanes}
        case WaitFor():
            named = {MET: "Happened" if config.mode == "event" else "Met", TIMEOUT: "Timed out"}
        case Approval():
            named = {option.key: option.name for option in config.options} | {TIMEOUT: "Timed out"}
        case _:
            pass
    return named.get(lane) or lane


__all__ = [
    "ELSE",
    "GROUPS",
    "KINDS",
    "LABELS",
    "MAIN",
    "MAY_BE_OVER",
    "MET",
    "TIMEOUT",
    "AddNote",
    "AddTag",
    "AddToWorkflow",
    "Amount",
    "Approval",
    "ApprovalOption",
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
]
