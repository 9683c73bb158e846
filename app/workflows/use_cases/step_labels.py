"""Steps in words, for the canvas."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from app.engine.core import steps as kinds
from app.engine.core.events import EVENT_KINDS
from app.engine.core.steps import ELSE, LABELS, TIMEOUT, Step, StepConfig
from app.filters.ast import Filter
from app.filters.parse import describe
from app.workflows.use_cases.input_reader import Known

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Said = tuple[str, str]


def sentence(asked: Filter | None, given: Known, empty: str = "") -> str:
    """A filter as a sentence; `empty` where there is none."""
    return describe(asked, given.fields, given.tags) if asked is not None else empty


def asked(step: Step, lane: str, given: Known) -> str:
    """What a lane asks, as a sentence."""
    config = step.config
    if isinstance(config, kinds.Branch) and lane != ELSE:
        found = next(one.filter for one in config.branches if one.key == lane)
        return sentence(found, given, "No condition yet")
    if isinstance(config, kinds.Split):
        whole = sum(one.weight for one in config.lanes) or 1
        weight = next(one.weight for one in config.lanes if one.key == lane)
        return f"{100 * weight / whole:.0f} % of the contacts"
    if lane == TIMEOUT and isinstance(config, kinds.WaitFor | kinds.Approval):
        return f"After {span(config.amount, config.unit)} without it"
    return "Everybody else" if lane == ELSE else ""


def words(step: Step, given: Known) -> Said:
    """Title and summary of a step: its own name first."""
    title, summary = _words(step, given)
    return (step.name, title) if step.name else (title, summary or LABELS[step.kind])


def _words(step: Step, given: Known) -> Said:
    config = step.config
    for speak in (_sends, _contact, _flow):
        said = speak(config, given)
        if said is not None:
            return said
    return LABELS[step.kind], ""


def _sends(config: StepConfig, given: Known) -> Said | None:
    match config:
        case kinds.SendEmail():
            return f"E-mail: {config.subject or '…'}", _first_line(config.body) or "No text yet"
        case kinds.SendSms():
            return "SMS", _first_line(config.body) or "No text yet"
        case kinds.Notify():
            whom = {"owner": "the owner", "everyone": "everybody"}.get(config.to) or members(
                config.users, given
            )
            return f"Notify {whom}", config.title or "No text yet"
        case kinds.Chat():
            return f"Chat: {config.channel or '…'}", _first_line(config.text) or "No text yet"
        case kinds.Webhook():
            kept = f" · answer kept as {config.save_as}" if config.save_as else ""
            return f"{config.method} {config.url or '…'}", f"Webhook{kept}"
    return None


def _contact(config: StepConfig, given: Known) -> Said | None:
    label = LABELS[kinds.kind_of(config)]
    match config:
        case kinds.AddTag() | kinds.RemoveTag():
            return f"{label}: {called(config.tag, given.tags)}", "Contact"
        case kinds.UpdateField():
            return _update(config, given)
        case kinds.AssignOwner():
            how = {"round_robin": "Each in turn: ", "least_busy": "The least busy of: "}.get(config.mode, "")
            several = "all members" if how and not config.users else members(config.users, given)
            whom = "Nobody" if config.mode == "nobody" else how + several
            return label, whom + (" · only if there is none" if config.only_if_unassigned else "")
        case kinds.AddNote():
            return label, _first_line(config.text) or "No text yet"
        case kinds.CreateTask():
            due = f"Due in {span(config.amount, config.unit)}" if config.has_due else "Not due"
            return f"Task: {config.title or '…'}", due
        case kinds.SetConsent():
            name = {"email": "E-mail", "sms": "SMS"}[config.channel]
            return f"{name} consent: {config.state}", "Contact"
    return None


def _update(config: kinds.UpdateField, given: Known) -> Said:
    label = _field(config.field, given)
    match config.operation:
        case "clear":
            return f"Clear {label}", "Contact"
        case "add":
            return f"Add to {label}", config.value or "No number yet"
        case "copy":
            return f"Copy to {label}", f"from {_field(config.source, given)}"
    return f"Set {label}", config.value or "No value yet"


def _field(key: str, given: Known) -> str:
    return given.fields[key].label if key in given.fields else key or "…"


def _flow(config: StepConfig, given: Known) -> Said | None:
    match config:
        case kinds.Wait():
            return _wait(config, given), "Wait"
        case kinds.WaitFor():
            return _wait_for(config, given)
        case kinds.Branch():
            names = [lane.name or lane.key for lane in config.branches]
            return "Branch: " + (", ".join(names) or "…"), f"If / else · {len(names) + 1} paths"
        case kinds.Split():
            shares = " : ".join(str(lane.weight) for lane in config.lanes)
            return f"Split {shares or '…'}", "By chance, always the same for one contact"
        case kinds.Goal():
            said = sentence(config.filter, given, "No condition yet")
            listens = "Listened for from entry on" if config.filter else said
            return f"Goal: {config.name or said}", said if config.name else listens
        case kinds.Approval():
            return f"Ask: {_first_line(config.question) or '…'}", " or ".join(
                option.name or option.key for option in config.options
            )
    return _ways(config, given)


def _ways(config: StepConfig, given: Known) -> Said | None:
    match config:
        case kinds.GoTo():
            return f"Go to {config.step or '…'}", "Goes on there"
        case kinds.Drip():
            people = "person" if config.count == 1 else "people"
            every = (
                config.unit.value.removesuffix("s")
                if config.amount == 1
                else span(config.amount, config.unit)
            )
            return f"Drip {config.count:,} {people} every {every}", "The rest wait"
        case kinds.AddToWorkflow():
            return f"Add to “{called(config.workflow, given.names.workflows)}”", "Its own rules decide"
        case kinds.RemoveFromWorkflow() if config.workflow is None:
            return "Remove from all other workflows", "They end at once"
        case kinds.RemoveFromWorkflow():
            return f"Remove from “{called(config.workflow, given.names.workflows)}”", "It ends at once"
        case kinds.Exit():
            return "Exit", config.reason or "Leaves the workflow here"
    return None


def called(key: object, names: Mapping[str, str]) -> str:
    """The name of what an id refers to; "…" for none chosen."""
    return "…" if key is None else names.get(str(key), "one that is gone")


def members(users: Sequence[UUID], given: Known) -> str:
    """Members by name, with commas."""
    return ", ".join(called(user, given.names.users) for user in users) or "…"


def span(amount: int, unit: kinds.Unit) -> str:
    """ "1 day", "3 hours"."""
    return f"{amount:,} {unit.value.removesuffix('s') if amount == 1 else unit.value}"


def _wait(config: kinds.Wait, given: Known) -> str:
    at = f" at {config.at}" if config.at else ""
    match config.mode:
        case "until":
            return f"Wait until {config.until.replace('T', ' ') or '…'}"
        case "date_field":
            days = abs(config.offset)
            where = (
                ""
                if not days
                else f"{span(days, kinds.Unit.DAYS)} {'after' if config.offset > 0 else 'before'} "
            )
            return f"Wait until {where}{_field(config.field, given)}{at}"
        case "recurring" if config.month_day:
            return f"Wait until day {config.month_day} of the month{at}"
        case "recurring":
            return f"Wait until {', '.join(DAYS[day] for day in sorted(config.weekdays)) or '…'}{at}"
    return f"Wait {span(config.amount, config.unit)}"


def _wait_for(config: kinds.WaitFor, given: Known) -> Said:
    most = f"At most {span(config.amount, config.unit)}"
    said = sentence(config.filter, given)
    if config.mode == "condition":
        return f"Wait for: {said or '…'}", most
    names = given.names
    named: dict[str, str] = {**names.tags, **names.segments, **names.workflows}
    named.update({key: spec.label for key, spec in given.fields.items()})
    about = called(config.about, named) if config.about else ""
    what = EVENT_KINDS.get(config.event, "…")
    return f"Wait for: {what}{f' ({about})' if about else ''}", f"{said} · {most}" if said else most


def _first_line(text: str) -> str:
    return next((line.strip()[:120] for line in text.splitlines() if line.strip()), "")
