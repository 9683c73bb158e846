"""Routes of the approvals screen."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.approvals.pages import approval_list
from app.approvals.schemas import AnswerForm, ApprovalList
from app.approvals.use_cases import answer_approval
from app.permissions import Permission
from app.web.guards import may
from app.web.paging import Paging
from app.web.responses import Saved
from app.work import Work


class ApprovalController(Controller):
    path = "/approvals"
    tags = ("approvals",)

    @get(page="approvals/index.html", fragment="approvals/_list.html", guards=[may(Permission.VIEW)])
    async def index(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> ApprovalList:
        """The open questions that you may answer, and the ones answered lately."""
        return await approval_list(work, paging)

    @post(
        "/{approval_id:uuid}/answer",
        form="/approvals",
        fragment="approvals/_list.html",
        guards=[may(Permission.VIEW)],
        status_code=200,
    )
    async def answer(
        self, approval_id: FromPath[UUID], data: JSONBody[AnswerForm], work: NamedDependency[Work]
    ) -> Saved[ApprovalList]:
        """Answers a question. The members named in it may answer; if it names none, every member who may
        manage enrollments. 409 when it was answered already or is no longer needed."""
        await answer_approval(work, approval_id, data.option)
        return Saved(
            await approval_list(work), see="/approvals", created=False, note="Your answer was saved."
        )
