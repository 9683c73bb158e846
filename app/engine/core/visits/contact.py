"""Steps that change the contact, or what belongs to it."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from app.engine.core.interpreter import STOPPED, Run
from app.engine.core.steps import AddTag, AssignOwner, CreateTask, RemoveTag, SetConsent, UpdateField
from app.engine.core.timing.wait_times import after
from app.engine.core.types import Change, ExitReason, NewTask, Outcome, Status
from app.engine.core.version import Node
from app.engine.core.visits.base import fail, owner_of, put, skip
from app.filters.fields import FieldSpec, FieldType
from app.filters.normalize import kept_value
from app.filters.values import read_number, value_of


def add_tag(run: Run, node: Node) -> int:
    config: AddTag = node.config
    if config.tag is None:
        return fail(run, node, "The step names no tag.")
    changed = config.tag not in run.facts.tags
    run.record(node, Outcome.DONE, {"tag": str(config.tag), "changed": changed})
    if changed:
        run.facts.tags.add(config.tag)
        _net(run.out.tags_added, run.out.tags_removed, config.tag)
        run.change(Change("tag_added", node.key, run.seq, str(config.tag)))
    return node.after


def remove_tag(run: Run, node: Node) -> int:
    config: RemoveTag = node.config
    if config.tag is None:
        return fail(run, node, "The step names no tag.")
    changed = config.tag in run.facts.tags
    run.record(node, Outcome.DONE, {"tag": str(config.tag), "changed": changed})
    if changed:
        run.facts.tags.discard(config.tag)
        _net(run.out.tags_removed, run.out.tags_added, config.tag)
        run.change(Change("tag_removed", node.key, run.seq, str(config.tag)))
    return node.after


def _net(to: set[UUID], against: set[UUID], tag: UUID) -> None:
    """A tag added and removed again in one go is no change of the contact."""
    if tag in against:
        against.discard(tag)
    else:
        to.add(tag)


def update_field(run: Run, node: Node) -> int:
    config: UpdateField = node.config
    spec = run.program.fields.get(config.field)
    if spec is None or not spec.writable:
        return fail(run, node, "The step names no field that a step may change.")
    old = run.facts.values.get(spec.key)
    try:
        new = _new_value(run, node, spec, old)
        _possible(run, spec, new)
    except ValueError as error:
        return fail(run, node, str(error))
    return put(run, node, spec.key, old, new)


def _new_value(run: Run, node: Node, spec: FieldSpec, old: object) -> str | int | float | bool | None:
    config: UpdateField = node.config
    if config.operation == "set":
        return kept_value(spec, node.templates["value"].render(run.facts), run.facts.region)
    if config.operation == "clear":
        return None
    if config.operation == "copy":
        return kept_value(spec, _text(run, spec, run.facts.values.get(config.source)), run.facts.region)
    amount = value_of(spec, node.templates["value"].render(run.facts))
    if spec.type is not FieldType.NUMBER or amount is None:
        raise ValueError(f"There is no number to add to {spec.label}.")
    before = old if isinstance(old, int | float) else 0
    # Exact: 0.1 and 0.2 are 0.3.
    return read_number(str(Decimal(repr(before)) + Decimal(repr(amount))))


def _possible(run: Run, spec: FieldSpec, new: object) -> None:
    """Raises ValueError for what fits the type of the field and is none of its values all the same."""
    if new is None:
        return
    members = run.around.members
    if spec.type is FieldType.USER and members and new not in [str(member) for member in members]:
        raise ValueError("This is nobody of the account, so the contact cannot be given to them.")


def _text(run: Run, spec: FieldSpec, value: object) -> str:
    """A value as text that another field may read."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        local = value.astimezone(run.facts.zone)
        return local.date().isoformat() if spec.type is FieldType.DATE else local.strftime("%Y-%m-%d %H:%M")
    return str(value)


def assign_owner(run: Run, node: Node) -> int:
    config: AssignOwner = node.config
    old = run.facts.values.get("owner")
    if config.only_if_unassigned and old is not None:
        return skip(run, node, "The contact has an owner.")
    if config.mode == "nobody":
        chosen = None
    else:
        chosen = _chosen(run, node)
        if chosen is None:
            return skip(run, node, "Nobody of those named is a member any more.")
    owned, before = run.around.owned, owner_of(run)
    if chosen != before:
        if before in owned:
            owned[before] -= 1
        if chosen is not None:
            owned[chosen] = owned.get(chosen, 0) + 1
    return put(run, node, "owner", old, None if chosen is None else str(chosen))


def _chosen(run: Run, node: Node) -> UUID | None:
    """Whose turn it is; members who are gone are passed over."""
    config: AssignOwner = node.config
    around = run.around
    users = config.users or (around.members if config.mode != "user" else [])
    if around.members:
        users = [user for user in users if user in around.members]
    if not users:
        return None
    if config.mode == "round_robin":
        state = around.states.setdefault(node.key, {})
        turn = int(state.get("next", 0)) % len(users)
        state["next"] = (turn + 1) % len(users)
        return users[turn]
    if config.mode == "least_busy":
        return min(users, key=lambda user: around.owned.get(user, 0))
    return users[0]


def set_consent(run: Run, node: Node) -> int:
    config: SetConsent = node.config
    key = f"{config.channel}_consent"
    return put(run, node, key, run.facts.values.get(key) or "unknown", config.state)


def add_note(run: Run, node: Node) -> int:
    text = node.templates["text"].render(run.facts).strip()
    if not text:
        return skip(run, node, "The note is empty with this contact's values.")
    run.record(node, Outcome.DONE, {"note": text[:200]})
    run.out.notes.append(text)
    run.change(Change("note_added", node.key, run.seq, text))
    return node.after


def create_task(run: Run, node: Node) -> int:
    config: CreateTask = node.config
    title, body = node.templates["title"].render(run.facts), node.templates["body"].render(run.facts)
    if not title:
        return skip(run, node, "The task has no title with this contact's values.")
    assignee = {"owner": owner_of(run), "user": config.user, "nobody": None}[config.assignee]
    if run.around.members and assignee not in run.around.members:
        assignee = None
    due = after(config.amount, config.unit, run.now, run.facts.zone) if config.has_due else None
    run.record(
        node,
        Outcome.DONE,
        {
            "task": title,
            "assignee": str(assignee) if assignee else None,
            "due": due.isoformat() if due else None,
        },
    )
    run.out.tasks.append(NewTask(title, body, assignee, due))
    run.change(Change("task_added", node.key, run.seq, title))
    return node.after


def delete_contact(run: Run, node: Node) -> int:
    run.record(node, Outcome.DONE, {})
    run.out.delete = True
    run.change(Change("deleted", node.key, run.seq, ""))
    run.finish(node.key, Status.EXITED, ExitReason.SUBJECT_DELETED)
    return STOPPED
