"""Steps in words, for the canvas."""

from app.filters.parse import describe
from app.workflows.domain.steps import (
    ELSE,
    LABELS,
    AddTag,
    Branch,
    Exit,
    Goal,
    RemoveTag,
    SendEmail,
    Step,
    UpdateField,
    Wait,
    Webhook,
)
from app.workflows.use_cases.typed import Known


def asked(step: Step, lane: str, given: Known) -> str:
    """What a lane of a branch asks, as a sentence."""
    if lane == ELSE or not isinstance(step.config, Branch):
        return "Everybody else"
    found = next(one.filter for one in step.config.branches if one.key == lane)
    return describe(found, given.fields, given.tags) if found else "No condition yet"


def words(step: Step, given: Known) -> tuple[str, str]:
    """Title and summary of a step: its own name first."""
    title, summary = _words(step, given)
    return (step.name, title) if step.name else (title, summary or LABELS[step.kind])


def _words(step: Step, given: Known) -> tuple[str, str]:
    config = step.config
    said = LABELS[step.kind], ""
    match config:
        case AddTag() | RemoveTag():
            tag = given.tags.get(str(config.tag), "a tag that no longer exists") if config.tag else "…"
            said = f"{LABELS[step.kind]}: {tag}", "Contact"
        case UpdateField():
            spec = given.fields.get(config.field)
            label = spec.label if spec else config.field or "…"
            value = "Clear it" if config.operation == "clear" else config.value or "No value yet"
            said = f"Set {label}", value
        case SendEmail():
            said = f"E-mail: {config.subject or '…'}", _first_line(config.body) or "No text yet"
        case Webhook():
            said = f"{config.method} {config.url or '…'}", "Webhook"
        case Wait():
            said = _wait_words(config), "Wait"
        case Branch():
            names = [lane.name or lane.key for lane in config.branches]
            said = "Branch: " + (", ".join(names) or "…"), f"If / else · {len(names) + 1} paths"
        case Goal():
            asked = describe(config.filter, given.fields, given.tags) if config.filter else "No condition yet"
            listens = "Listened for from entry on" if config.filter else asked
            said = f"Goal: {config.name or asked}", asked if config.name else listens
        case Exit():
            said = "Exit", config.reason or "Leaves the workflow here"
    return said


def _wait_words(config: Wait) -> str:
    if config.mode == "until":
        return f"Wait until {config.until.replace('T', ' ') or '…'}"
    unit = config.unit.value.removesuffix("s") if config.amount == 1 else config.unit.value
    return f"Wait {config.amount} {unit}"


def _first_line(text: str) -> str:
    return next((line.strip()[:120] for line in text.splitlines() if line.strip()), "")
