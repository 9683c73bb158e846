"""Builds the approvals page: open questions and the latest closed ones."""

from typing import Any

from app.approvals.schemas import AnswerForm, ApprovalLine, ApprovalList, Option
from app.approvals.use_cases import MANAGE, may_answer
from app.contacts.domain import display_name
from app.web.actions import Action, action, actions
from app.work import Work
from db.queries.name_lookup import read_member_names


async def approval_list(work: Work) -> ApprovalList:
    """The open questions that the caller may answer, and the latest closed ones."""
    me = work.principal
    rows = await work.approvals.open(me.user_id if me else None, manages=work.may(MANAGE))
    names = await read_member_names(work.session)
    return ApprovalList(
        [line_of(row, names) for row in rows],
        [line_of(row, names) for row in await work.approvals.latest_closed()],
        actions(*(answering(work, row) for row in rows)),
    )


def answering(work: Work, row: Any) -> Action | None:
    """The action that answers an open question; None if the caller may not answer it."""
    return action(
        work,
        f"answer:{row.id}",
        "Answer",
        f"/approvals/{row.id}/answer",
        form=AnswerForm,
        options={"option": [option["key"] for option in row.options]},
        when=may_answer(work, row.users),
    )


def line_of(row: Any, names: dict[str, str]) -> ApprovalLine:
    """A row as the page shows it; `names` has member names by id."""
    options = [Option(option["key"], option["name"] or option["key"]) for option in row.options]
    chosen = next((option.name for option in options if option.key == row.answer), row.answer or "")
    return ApprovalLine(
        id=row.id,
        question=row.question,
        options=options,
        users=[names.get(user, "a former member") for user in row.users],
        status=row.status,
        contact_name=display_name(row._asdict()),
        contact_href="" if row.deleted_at else f"/contacts/{row.contact_id}",
        workflow_name=row.workflow_name,
        workflow_href=f"/workflows/{row.workflow_id}",
        enrollment_href=f"/enrollments/{row.enrollment_id}",
        due_at=row.due_at,
        created_at=row.created_at,
        answer=chosen,
        answered_by=row.answered_by or "",
        answered_at=row.answered_at,
    )
