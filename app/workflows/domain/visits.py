"""What each step kind does when somebody arrives at it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from app.filters.values import value_of
from app.workflows.domain.outcomes import Change, Effect, ExitReason, Outcome, Status, WaitReason
from app.workflows.domain.run import STOPPED, Run, Visit
from app.workflows.domain.schedule import after, wait_end
from app.workflows.domain.steps import (
    AddTag,
    Branch,
    Exit,
    Goal,
    RemoveTag,
    SendEmail,
    UpdateField,
    Wait,
    Webhook,
)
from app.workflows.domain.version import Node


def _fail(run: Run, node: Node, error: str) -> int:
    run.record(node, Outcome.FAILED, {}, error)
    run.finish(node.key, Status.FAILED, ExitReason.FAILED_PERMANENT, error)
    return STOPPED


def _add_tag(run: Run, node: Node) -> int:
    config = node.config
    if not isinstance(config, AddTag) or config.tag is None:
        return _fail(run, node, "The step names no tag.")
    changed = config.tag not in run.facts.tags
    run.record(node, Outcome.DONE, {"tag": str(config.tag), "changed": changed})
    if changed:
        run.facts.tags.add(config.tag)
        _net(run.out.tags_added, run.out.tags_removed, config.tag)
        run.change(Change("tag_added", node.key, run.seq, str(config.tag)))
    return node.after


def _remove_tag(run: Run, node: Node) -> int:
    config = node.config
    if not isinstance(config, RemoveTag) or config.tag is None:
        return _fail(run, node, "The step names no tag.")
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


def _update_field(run: Run, node: Node) -> int:
    config = node.config
    spec = run.program.fields.get(config.field) if isinstance(config, UpdateField) else None
    if not isinstance(config, UpdateField) or spec is None or not spec.writable:
        return _fail(run, node, "The step names no field that a step may change.")
    old = run.facts.values.get(spec.key)
    try:
        text = node.templates["value"].render(run.facts) if config.operation == "set" else ""
        new = value_of(spec, text)
    except ValueError as error:
        return _fail(run, node, str(error))
    changed = new != old or isinstance(new, bool) is not isinstance(old, bool)
    run.record(node, Outcome.DONE, {"field": spec.key, "old": old, "new": new, "changed": changed})
    if changed:
        run.facts.values[spec.key] = run.out.fields[spec.key] = new
        run.change(Change("field", node.key, run.seq, spec.key, old, new))
    return node.after


def _send_email(run: Run, node: Node) -> int:
    to = run.facts.values.get("email")
    if not isinstance(node.config, SendEmail) or not isinstance(to, str) or not to:
        run.record(node, Outcome.SKIPPED, {"reason": "The contact has no e-mail address."})
        return node.after
    rendered = {name: template.render(run.facts) for name, template in node.templates.items()}
    names = (run.facts.values.get("first_name"), run.facts.values.get("last_name"))
    payload = {
        "to": to,
        "to_name": " ".join(" ".join(str(name) for name in names if name).split()),
        **rendered,
    }
    return _request(run, node, Effect("email", node.key, 0, "", payload, node.config.on_doubt))


def _webhook(run: Run, node: Node) -> int:
    config = node.config
    if not isinstance(config, Webhook):
        return _fail(run, node, "The step is no webhook.")
    rendered = {name: template.render(run.facts) for name, template in node.templates.items()}
    body = rendered["body"]
    try:
        if body.strip():
            msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return _fail(run, node, f"The body is not JSON with this contact's values: {error}")
    headers = {name: rendered[f"header:{name}"] for name in config.headers}
    payload = {"url": rendered["url"], "method": config.method, "headers": headers, "body": body}
    return _request(run, node, Effect("webhook", node.key, 0, "", payload, config.on_doubt))


def _request(run: Run, node: Node, effect: Effect) -> int:
    """Hands an effect to the ledger and parks until it is resolved."""
    effect.seq = run.begin(node, _shown(effect))
    effect.idempotency_key = f"{run.enrollment.id}:{effect.seq}"
    run.out.effects.append(effect)
    return run.park(node, WaitReason.EFFECT, None)


def _shown(effect: Effect) -> dict[str, Any]:
    """What the enrollment page shows of an effect; the ledger holds the rest."""
    names = ("to", "subject") if effect.kind == "email" else ("method", "url")
    return {name: effect.payload[name] for name in names}


def _wait(run: Run, node: Node) -> int:
    config = node.config
    if not isinstance(config, Wait):
        return _fail(run, node, "The step is no wait.")
    try:
        until = wait_end(config, run.now, run.facts) or run.now
    except ValueError as error:
        return _fail(run, node, str(error))
    if until > run.now:
        run.begin(node, {"until": until.isoformat()})
        return run.park(node, WaitReason.TIMER, until)
    if config.past == "continue":
        run.record(node, Outcome.PASSED, {"until": until.isoformat(), "past": True})
        return node.after
    run.record(node, Outcome.EXITED, {"until": until.isoformat(), "past": True})
    run.finish(node.key, Status.EXITED, ExitReason.PAST_WINDOW)
    return STOPPED


def _branch(run: Run, node: Node) -> int:
    for key, match, start in node.lanes:
        if match(run.facts, run.now):
            run.record(node, Outcome.TAKEN, {"branch": key})
            run.check_goals = True  # those of the lane begin to listen
            return start
    return _fail(run, node, "No lane of the branch fits, not even the last.")


def _goal(run: Run, node: Node) -> int:
    """Somebody who arrives here has not met it: met goals are seen before any step is visited."""
    config = node.config
    if not isinstance(config, Goal):
        return _fail(run, node, "The step is no goal.")
    if config.on_unmet == "continue":
        run.record(node, Outcome.UNMET, {})
        return node.after
    if config.on_unmet == "wait":
        until = after(config.amount, config.unit, run.now, run.facts.zone)
        run.begin(node, {"until": until.isoformat()})
        return run.park(node, WaitReason.CONDITION, until)
    run.record(node, Outcome.UNMET, {})
    run.finish(node.key, Status.INCOMPLETE, ExitReason.FINISHED)
    return STOPPED


def _exit(run: Run, node: Node) -> int:
    reason = node.config.reason if isinstance(node.config, Exit) else ""
    run.record(node, Outcome.EXITED, {"reason": reason} if reason else {})
    run.finish(node.key, Status.EXITED, ExitReason.FINISHED)
    return STOPPED


VISITS: Mapping[type, Visit] = {
    AddTag: _add_tag,
    RemoveTag: _remove_tag,
    UpdateField: _update_field,
    SendEmail: _send_email,
    Webhook: _webhook,
    Wait: _wait,
    Branch: _branch,
    Goal: _goal,
    Exit: _exit,
}
