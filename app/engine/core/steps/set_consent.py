"""Grant, deny or reset the contact's consent to email or SMS."""

from typing import TYPE_CHECKING, Literal

from app.engine.core.name_lookup import Names
from app.engine.core.steps.base import Config, Sentence, StepKind, set_field
from app.filters.fields import Fields

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node


class SetConsent(Config, frozen=True, tag="set_consent"):
    channel: Literal["email", "sms"] = "email"
    state: Literal["granted", "denied", "unknown"] = "granted"


def execute(run: "Run", node: "Node") -> int:
    config: SetConsent = node.config
    key = f"{config.channel}_consent"
    return set_field(run, node, key, run.facts.values.get(key) or "unknown", config.state)


def describe(config: SetConsent, _fields: Fields, _names: Names) -> Sentence:
    channel = {"email": "Email", "sms": "SMS"}[config.channel]
    return Sentence(f"{channel} consent: {config.state}", "Contact")


KIND = StepKind(
    SetConsent,
    label="Set consent",
    group="Contact",
    icon="shield",
    tone="quiet",
    hint="Set consent to email or SMS",
    execute=execute,
    describe=describe,
    changes_contact=True,
    skips_deleted_contact=True,
)
