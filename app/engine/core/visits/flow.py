"""Steps that decide where somebody goes on."""

import hashlib

from app.engine.core.interpreter import STOPPED, Run
from app.engine.core.steps import AddToWorkflow, Exit, GoTo, RemoveFromWorkflow
from app.engine.core.types import ExitReason, Outcome, Status
from app.engine.core.version import Node
from app.engine.core.visits.base import fail


def branch(run: Run, node: Node) -> int:
    for key, match, start in node.lanes:
        if match(run.facts, run.now):
            run.record(node, Outcome.TAKEN, {"branch": key})
            run.check_goals = True  # those of the lane begin to listen
            return start
    return fail(run, node, "No lane of the branch fits, not even the last.")


def split(run: Run, node: Node) -> int:
    """By a hash of contact, workflow and step: chance to those who look at many, the same each time for one.
    Keys of steps repeat from workflow to workflow: by these alone, two would divide people alike."""
    total = node.shares[-1][0] if node.shares else 0
    if total == 0:
        return fail(run, node, "No lane of the split has a weight.")
    drawn_by = f"{run.enrollment.contact_id}:{run.program.version.workflow_id}:{node.key}"
    digest = hashlib.sha256(drawn_by.encode()).digest()
    drawn = int.from_bytes(digest[:8]) % total
    return run.take(node, next(key for upto, key in node.shares if drawn < upto))


def go_to(run: Run, node: Node) -> int:
    config: GoTo = node.config
    run.record(node, Outcome.DONE, {"to": config.step})
    run.check_goals = True
    return node.target


def add_to_workflow(run: Run, node: Node) -> int:
    config: AddToWorkflow = node.config
    if config.workflow is None:
        return fail(run, node, "The step names no workflow.")
    run.record(node, Outcome.DONE, {"workflow": str(config.workflow)})
    run.out.enter.append(config.workflow)
    return node.after


def remove_from_workflow(run: Run, node: Node) -> int:
    config: RemoveFromWorkflow = node.config
    run.record(node, Outcome.DONE, {"workflow": str(config.workflow) if config.workflow else None})
    run.out.leave.append(config.workflow)
    return node.after


def leave(run: Run, node: Node) -> int:
    config: Exit = node.config
    run.record(node, Outcome.EXITED, {"reason": config.reason} if config.reason else {})
    run.finish(node.key, Status.EXITED, ExitReason.FINISHED)
    return STOPPED
