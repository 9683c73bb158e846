"""Steps at which somebody stands still: until a moment, a slot, something that happens, an answer."""

from app.engine.core.events import EMAIL_DELIVERED
from app.engine.core.interpreter import STOPPED, Run
from app.engine.core.steps import MET, Approval, Drip, Goal, Wait, WaitFor
from app.engine.core.timing.drip import take_slot
from app.engine.core.timing.wait_times import after, wait_end
from app.engine.core.types import ExitReason, NewApproval, Outcome, Status, WaitReason
from app.engine.core.version import END, Node
from app.engine.core.visits.base import fail


def wait(run: Run, node: Node) -> int:
    config: Wait = node.config
    try:
        until = wait_end(config, run.now, run.facts)
    except ValueError as error:
        return fail(run, node, str(error))
    if until is not None and until > run.now:
        run.begin(node, {"until": until.isoformat()})
        return run.park(node, WaitReason.TIMER, until)
    detail: dict[str, object] = {"past": True}
    if until is None:
        detail["reason"] = "The field holds no date."
    else:
        detail["until"] = until.isoformat()
    if config.past == "continue":
        run.record(node, Outcome.PASSED, detail)
        return node.after
    if config.past == "skip_to":
        run.record(node, Outcome.PASSED, detail | {"to": config.skip_to})
        run.check_goals = True
        return node.target
    run.record(node, Outcome.EXITED, detail)
    run.finish(node.key, Status.EXITED, ExitReason.PAST_WINDOW)
    return STOPPED


def wait_for(run: Run, node: Node) -> int:
    config: WaitFor = node.config
    condition = config.mode == "condition"
    if condition and holds(run, node):
        return run.take(node, MET)
    if not condition and config.event == EMAIL_DELIVERED and run.delivered and holds(run, node):
        return run.take(node, MET)
    until = after(config.amount, config.unit, run.now, run.facts.zone)
    detail = {"until": until.isoformat()}
    if not condition:
        detail["event"] = config.event
    run.begin(node, detail)
    return run.park(node, WaitReason.CONDITION if condition else WaitReason.EVENT, until)


def holds(run: Run, node: Node) -> bool:
    return node.match is not None and node.match(run.facts, run.now)


def goal(run: Run, node: Node) -> int:
    """Somebody who arrives here has not met it: met goals are seen before any step is visited."""
    config: Goal = node.config
    if config.on_unmet == "continue":
        run.record(node, Outcome.UNMET, {})
        return node.after
    if config.on_unmet == "wait":
        until = after(config.amount, config.unit, run.now, run.facts.zone)
        run.begin(node, {"until": until.isoformat()})
        return run.park(node, WaitReason.CONDITION, until)
    run.record(node, Outcome.UNMET, {})
    return END


def drip(run: Run, node: Node) -> int:
    config: Drip = node.config
    slot = take_slot(config, run.around.states.setdefault(node.key, {}), run.now, run.facts.zone)
    if slot <= run.now:
        run.record(node, Outcome.PASSED, {})
        return node.after
    run.begin(node, {"until": slot.isoformat()})
    return run.park(node, WaitReason.DRIP_SLOT, slot)


def approval(run: Run, node: Node) -> int:
    config: Approval = node.config
    until = after(config.amount, config.unit, run.now, run.facts.zone)
    question = node.templates["question"].render(run.facts)
    seq = run.begin(node, {"question": question, "until": until.isoformat()})
    options = [(option.key, option.name or option.key) for option in config.options]
    run.out.approvals.append(NewApproval(seq, node.key, question, options, list(config.users), until))
    return run.park(node, WaitReason.APPROVAL, until)
