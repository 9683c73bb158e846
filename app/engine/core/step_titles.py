"""What people call a step: its own name, or what it does."""

import re

from app.engine.core import steps as kinds
from app.engine.core.draft import lane_label, walk
from app.engine.core.events import EVENT_KINDS
from app.engine.core.steps import LABELS, Step, StepConfig, lane_keys
from app.engine.core.version import Version

MERGE = re.compile(r"\{\{\s*(?:contact\.)?(?:custom\.)?(\w+).*?\}\}")


def step_title(step: Step) -> str:
    """What people call a step: its own name, else what it does."""
    said = step.name or _does(step.config) or LABELS.get(step.kind, step.kind)
    return MERGE.sub(lambda found: f"[{found[1].replace('_', ' ')}]", said)


def _does(config: StepConfig) -> str:
    for speak in (_sends, _contact, _waits, _flow):
        said = speak(config)
        if said:
            return said
    return ""


def _sends(config: StepConfig) -> str:
    match config:
        case kinds.SendEmail():
            return config.subject and f"E-mail: {config.subject}"
        case kinds.SendSms():
            return config.body and f"SMS: {first_line(config.body)}"
        case kinds.Notify():
            return config.title and f"Notify: {config.title}"
        case kinds.Chat():
            return config.channel and f"Chat: {config.channel}"
        case kinds.Webhook():
            return config.url and f"{config.method} {config.url}"
    return ""


def _contact(config: StepConfig) -> str:
    match config:
        case kinds.UpdateField():
            return config.field and f"Update field: {config.field}"
        case kinds.AddNote():
            return config.text and f"Note: {first_line(config.text)}"
        case kinds.CreateTask():
            return config.title and f"Task: {config.title}"
        case kinds.SetConsent():
            return f"{'E-mail' if config.channel == 'email' else 'SMS'} consent: {config.state}"
    return ""


def _waits(config: StepConfig) -> str:
    match config:
        case kinds.Wait():
            return _wait(config)
        case kinds.WaitFor() if config.mode == "event":
            return f"Wait for: {EVENT_KINDS.get(config.event, config.event)}"
        case kinds.Approval():
            return config.question and f"Ask: {first_line(config.question)}"
        case kinds.Drip():
            return f"Drip {config.count} every {_span(config.amount, config.unit)}"
    return ""


def _flow(config: StepConfig) -> str:
    match config:
        case kinds.Goal():
            return config.name and f"Goal: {config.name}"
        case kinds.GoTo():
            return config.step and f"Go to {config.step}"
        case kinds.Exit():
            return config.reason and f"Exit: {config.reason}"
    return ""


def _wait(config: kinds.Wait) -> str:
    match config.mode:
        case "duration":
            return f"Wait {_span(config.amount, config.unit)}"
        case "date_field":
            return f"Wait until {config.field}"
        case "recurring":
            return "Wait until the next day of its rule"
    return f"Wait until {config.until}"


def _span(amount: int, unit: kinds.Unit) -> str:
    return f"{amount} {unit.value.removesuffix('s') if amount == 1 else unit.value}"


def first_line(text: str) -> str:
    """The first line that says something, at most 60 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 60 else line[:59] + "…"


def titles(version: Version) -> dict[str, str]:
    """What people call each step of a version, by its key, from top to bottom; lanes of branches by
    "<step>.<lane>"."""
    found = {}
    for _, _, step in walk(version.steps):
        found[step.key] = step_title(step)
        found |= {f"{step.key}.{lane}": lane_label(step, lane) for lane in lane_keys(step.config)}
    return found
