"""Builds the approvals page: open questions and the latest closed ones."""

from collections.abc import Mapping

import msgspec

from app.approvals.schemas import AnswerForm, ApprovalLine, ApprovalList, Option
from app.approvals.use_cases import MANAGE, may_answer
from app.contacts.domain import display_name
from app.web.actions import Action, action, actions
from app.web.paging import FIRST_PAGE, Paging, gone, neighbor_links
from app.work import Work
from db.models import Approval
from db.queries.approvals import NamedApproval, fetch_open_approvals, list_closed_approvals
from db.queries.name_lookup import read_member_names

PAGE_SIZE = 100


async def approval_list(work: Work, paging: Paging = FIRST_PAGE) -> ApprovalList:
    """A page of the open questions that the caller may answer, and the latest closed ones. Raises
    `Invalid`."""
    me = work.principal
    page = await fetch_open_approvals(
        work.session, me.user_id if me else None, manages=work.may(MANAGE),
        after=paging.after, before=paging.before, limit=paging.size(PAGE_SIZE),
    )  # fmt: skip
    if page is None:
        raise gone(paging)
    waiting, more = page
    approvals = [named.approval for named in waiting]
    names = await read_member_names(work.session)
    return ApprovalList(
        [line_of(named, names) for named in waiting],
        *neighbor_links("/approvals", {}, approvals, paging, more=more),
        [line_of(named, names) for named in await list_closed_approvals(work.session)],
        actions(*(answering(work, approval) for approval in approvals)),
    )


def answering(work: Work, approval: Approval) -> Action | None:
    """The action that answers an open question; None if the caller may not answer it."""
    return action(
        work,
        f"answer:{approval.id}",
        "Answer",
        f"/approvals/{approval.id}/answer",
        form=AnswerForm,
        options={"option": [option["key"] for option in approval.options]},
        when=may_answer(work, approval.users),
    )


def line_of(named: NamedApproval, names: Mapping[str, str]) -> ApprovalLine:
    """An approval as the page shows it; `names` has member names by id."""
    row = named.approval
    options = [Option(option["key"], option["name"] or option["key"]) for option in row.options]
    chosen = next((option.name for option in options if option.key == row.answer), row.answer or "")
    return ApprovalLine(
        id=row.id,
        question=row.question,
        options=options,
        users=[names.get(user, "a former member") for user in row.users],
        status=row.status,
        contact_name=display_name(msgspec.structs.asdict(named)),
        contact_href="" if named.contact_deleted_at else f"/contacts/{row.contact_id}",
        workflow_name=named.workflow_name,
        workflow_href=f"/workflows/{row.workflow_id}",
        enrollment_href=f"/enrollments/{row.enrollment_id}",
        due_at=row.due_at,
        created_at=row.created_at,
        answer=chosen,
        answered_by=row.answered_by or "",
        answered_at=row.answered_at,
    )
