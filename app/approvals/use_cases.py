"""Answers the question that an enrollment waits with; `answer_approval` is the entry point."""

from collections.abc import Sequence
from uuid import UUID

from app.errors import Conflict, Forbidden, Invalid, NotFound
from app.permissions import Permission
from app.work import Work

MANAGE = Permission.MANAGE_ENROLLMENTS


def may_answer(work: Work, users: Sequence[str]) -> bool:
    """Whether the caller is one of the members that the question names; if it names none, whether the caller
    may manage enrollments. A token needs that permission in both cases."""
    me = work.principal
    if me is None or (me.token_id is not None and not work.may(MANAGE)):
        return False
    return str(me.user_id) in users if users else work.may(MANAGE)


async def answer_approval(work: Work, approval_id: UUID, option: str) -> None:
    """Records the answer and makes the enrollment due. Raises `NotFound`, `Forbidden`, `Invalid` for
    "option", `Conflict` when the question is no longer open."""
    unlocked = await work.approvals.get_one_or_none(id=approval_id)
    if unlocked is None:
        raise NotFound("approval")
    row = await work.enrollments.lock(unlocked.enrollment_id)
    # The enrollment is locked first, as the engine does.
    approval = await work.approvals.get_one_or_none(id=approval_id, with_for_update=True)
    if row is None or approval is None:
        raise NotFound("approval")
    if not may_answer(work, approval.users):
        raise Forbidden("This question is assigned to other members.")
    names = {option["key"]: option["name"] or option["key"] for option in approval.options}
    if approval.status == "answered":
        answer_label = names.get(approval.answer or "", approval.answer)
        raise Conflict(
            f"{approval.answered_by} already answered this: {answer_label}.",
            current={"status": approval.status, "answer": approval.answer},
        )
    late = approval.due_at <= work.now
    if approval.status != "open" or late or row.status != "active" or row.seq != approval.seq:
        raise Conflict(
            "This question is no longer open.",
            current={"status": "expired" if late else approval.status},
        )
    if option not in names:
        raise Invalid({"option": f"Choose one of: {', '.join(names)}."})
    approval.status, approval.answer = "answered", option
    approval.answered_by, approval.answered_at = work.actor.name, work.now
    if row.paused_at is None:  # a paused enrollment continues when it is resumed
        row.due_at = work.now
    work.audit("approval.answered", "approval", approval.id, {"answer": (None, names[option])})
    work.notify_worker("advance")
    await work.commit()
