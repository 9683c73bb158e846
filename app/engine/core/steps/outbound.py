"""What the kinds share that call another system: consent, the sending window, and the request of an effect.

A step that cannot reach the contact is skipped before its window is considered. One that waits for its window
is executed again when the window opens."""

from typing import TYPE_CHECKING

from app.engine.core.steps.base import fail
from app.engine.core.timing.sending_window import next_opening, window_payload, zone_of
from app.engine.core.types import EffectRequest, WaitReason

if TYPE_CHECKING:
    from app.engine.core.interpreter import Run
    from app.engine.core.version import Node

DENIED = "denied"

# The part of an effect's payload that the enrollment page shows; the effect row has the rest.
_SHOWN: dict[str, tuple[str, ...]] = {
    "email": ("to", "subject"),
    "sms": ("to",),
    "chat": ("channel",),
    "webhook": ("method", "url"),
}


def render_templates(run: "Run", node: "Node") -> dict[str, str]:
    """Every template of the step, rendered for the contact."""
    return {name: template.render(run.facts) for name, template in node.templates.items()}


def wait_for_window(run: "Run", node: "Node") -> int | None:
    """Lets the enrollment wait until the window opens; None while it is open, or when a member skipped it."""
    window = node.window
    if window is None or _window_skipped(run, node):
        return None
    try:
        opens = next_opening(window, run.now, zone_of(window, run.facts))
    except ValueError as error:
        return fail(run, node, str(error))
    if opens <= run.now:
        return None
    run.begin(node, {"window": True, "until": opens.isoformat()})
    return run.wait_at(node, WaitReason.WINDOW, opens)


def _window_skipped(run: "Run", node: "Node") -> bool:
    """Whether a member decided that this visit need not wait for its window."""
    enrollment = run.enrollment
    waits = enrollment.wait_reason is WaitReason.WINDOW and enrollment.step_key == node.key
    return waits and enrollment.woken


def request_effect(run: "Run", node: "Node", effect: EffectRequest) -> int:
    """Records the effect and lets the enrollment wait until it is resolved. The effect carries its window,
    since it may be sent long after this visit."""
    if node.window is not None and "internal" not in effect.payload and not _window_skipped(run, node):
        effect.payload["window"] = window_payload(node.window, run.facts)
    effect.seq = run.begin(node, {name: effect.payload[name] for name in _SHOWN[effect.kind]})
    effect.idempotency_key = f"{run.enrollment.id}:{effect.seq}"
    run.out.effects.append(effect)
    return run.wait_at(node, WaitReason.EFFECT, None)
