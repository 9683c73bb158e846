"""What visits to steps of several groups share."""

from uuid import UUID

from app.engine.core.interpreter import STOPPED, Run, Visit
from app.engine.core.merge_tags import TextTooLong
from app.engine.core.types import Change, ExitReason, Outcome, Status
from app.engine.core.version import Node


def printing(visit: Visit) -> Visit:
    """A visit that prints texts: one that grows too long fails it. It prints before it records anything."""

    def visited(run: Run, node: Node) -> int:
        try:
            return visit(run, node)
        except TextTooLong as error:
            return fail(run, node, str(error))

    return visited


def fail(run: Run, node: Node, error: str) -> int:
    run.record(node, Outcome.FAILED, {}, error)
    run.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)
    return STOPPED


def skip(run: Run, node: Node, reason: str) -> int:
    run.record(node, Outcome.SKIPPED, {"reason": reason})
    return node.after


def skip_gone(run: Run, node: Node) -> int:
    """A step that would change or address a contact who is gone."""
    return skip(run, node, "The contact was deleted.")


def put(run: Run, node: Node, key: str, old: object, new: object) -> int:
    """A field of the contact holds `new`, which may be what it held."""
    changed = new != old or isinstance(new, bool) is not isinstance(old, bool)
    run.record(node, Outcome.DONE, {"field": key, "old": old, "new": new, "changed": changed})
    if changed:
        run.facts.values[key] = run.out.fields[key] = new
        run.change(Change("field", node.key, run.seq, key, old, new))
    return node.after


def owner_of(run: Run) -> UUID | None:
    """Who owns the contact."""
    found = run.facts.values.get("owner")
    try:
        return UUID(found) if isinstance(found, str) else None
    except ValueError:
        return None
