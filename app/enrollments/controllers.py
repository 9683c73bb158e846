"""Routes of the enrollment screens and of the buttons on them."""

from typing import Literal
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from app.enrollments.decision_log import why_page
from app.enrollments.pages import MANAGE, enroll_page, enrollment_list, enrollment_page, enter_page
from app.enrollments.schemas import (
    MOST_IDS,
    EnrollForm,
    EnrollmentList,
    EnrollmentPage,
    EnrollPage,
    EnterPage,
    JumpForm,
    Requested,
    SettlementForm,
    WhyPage,
)
from app.enrollments.use_cases.effects import cancel_effect, retry_effect, retry_enrollment, settle_effect
from app.enrollments.use_cases.membership import contact_named, enroll_contacts, remove_enrollment
from app.enrollments.use_cases.progress import jump, pause_enrollment, resume_enrollment, skip_wait
from app.errors import NotFound
from app.permissions import Permission
from app.web.body_limits import BodyLimits
from app.web.guards import may
from app.web.methods import deletion
from app.web.paging import Paging
from app.web.request_kinds import search_with
from app.web.responses import Saved
from app.work import Work

StatusFilter = Literal["", "active", "completed", "incomplete", "exited", "failed"]
SHOW = "/enrollments/{enrollment_id}"
NOT_SENT = "Marked as not sent. The enrollment has ended, so it will not be sent again."


class WorkflowEnrollmentController(Controller):
    path = "/workflows/{workflow_id:uuid}/enrollments"
    tags = ("enrollments",)

    @get(page="enrollments/index.html", guards=[may(Permission.VIEW)], kind=search_with("q"))
    async def index(
        self,
        workflow_id: FromPath[UUID],
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        status: FromQuery[StatusFilter] = "",
        step: FromQuery[str] = "",
        q: FromQuery[str] = "",
    ) -> EnrollmentList:
        """The enrollments of one workflow, newest first."""
        workflow = await work.workflows.header(workflow_id)
        if workflow is None:
            raise NotFound("workflow")
        return await enrollment_list(
            work,
            f"/workflows/{workflow_id}/enrollments",
            workflow=workflow,
            status=status,
            step=step,
            q=q,
            paging=paging,
        )

    @get("/new", page="enrollments/new.html", guards=[may(MANAGE)], kind=search_with("q"))
    async def new(
        self, workflow_id: FromPath[UUID], work: NamedDependency[Work], q: FromQuery[str] = ""
    ) -> EnrollPage:
        """Contacts to add to the workflow, found by name, email address or phone number (`q`)."""
        return await enroll_page(work, workflow_id, q)

    @post(
        form="/workflows/{workflow_id}/enrollments",
        guards=[may(MANAGE)],
        limits=BodyLimits(fields=MOST_IDS + 10),
    )
    async def enroll(
        self, workflow_id: FromPath[UUID], data: JSONBody[EnrollForm], work: NamedDependency[Work]
    ) -> Saved[Requested]:
        """Adds contacts by hand, by their ids or by one email address. Entry condition and re-entry policy
        apply."""
        ids = list(data.contact_ids)
        if data.contact.strip() or not ids:
            ids.append(await contact_named(work, data.contact))
        requested = await enroll_contacts(work, workflow_id, ids)
        people = "1 contact was" if requested == 1 else f"{requested} contacts were"
        to_contact = data.back == "contact"
        return Saved(
            Requested(workflow_id, requested),
            see=f"/contacts/{ids[-1]}" if to_contact else f"/workflows/{workflow_id}/enrollments",
            note=f"{people} added. The workflow's entry rules are being checked.",
        )


class EnterController(Controller):
    path = "/contacts/{contact_id:uuid}/enrollments"
    tags = ("enrollments",)

    @get("/new", page="enrollments/enter.html", guards=[may(MANAGE)])
    async def new(self, contact_id: FromPath[UUID], work: NamedDependency[Work]) -> EnterPage:
        """Workflows that accept contacts by hand, to add this contact to one."""
        return await enter_page(work, contact_id)


class WhyController(Controller):
    path = "/contacts/{contact_id:uuid}/why"
    tags = ("enrollments",)

    @get(page="contacts/decisions.html", guards=[may(Permission.VIEW)])
    async def show(
        self,
        contact_id: FromPath[UUID],
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        workflow: FromQuery[UUID | None] = None,
    ) -> WhyPage:
        """Why the contact did or did not enter a workflow: the contact's events, newest first, each with its
        decision."""
        return await why_page(work, contact_id, workflow, paging)


class EnrollmentController(Controller):
    path = "/enrollments"
    tags = ("enrollments",)

    @get(page="enrollments/index.html", guards=[may(Permission.VIEW)], kind=search_with("q"))
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        workflow_id: FromQuery[UUID | None] = None,
        contact_id: FromQuery[UUID | None] = None,
        status: FromQuery[StatusFilter] = "",
        step: FromQuery[str] = "",
        q: FromQuery[str] = "",
    ) -> EnrollmentList:
        """The enrollments of all workflows, newest first. `q` is a part of the contact's name or email
        address."""
        return await enrollment_list(
            work,
            "/enrollments",
            workflow_id=workflow_id,
            contact_id=contact_id,
            status=status,
            step=step,
            q=q,
            paging=paging,
        )

    @get("/{enrollment_id:uuid}", page="enrollments/show.html", fragment="enrollments/_enrollment.html",
         guards=[may(Permission.VIEW)])  # fmt: skip
    async def show(self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]) -> EnrollmentPage:
        """One enrollment: its path so far, what it waits for, and why it entered."""
        return await enrollment_page(work, enrollment_id)

    @post("/{enrollment_id:uuid}/removal", form=SHOW, guards=[may(MANAGE)], status_code=200)
    async def remove(
        self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Removes the enrollment from its workflow; effects that were not sent yet are canceled."""
        await remove_enrollment(work, enrollment_id)
        return await _saved(work, enrollment_id, "Removed from the workflow.")

    @post("/{enrollment_id:uuid}/pause", form=SHOW, guards=[may(MANAGE)], status_code=200)
    async def pause(
        self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Pauses the enrollment until a member resumes it."""
        await pause_enrollment(work, enrollment_id)
        return await _saved(work, enrollment_id, "Paused at its current step.")

    @deletion("/{enrollment_id:uuid}/pause", form=SHOW, guards=[may(MANAGE)])
    async def resume(
        self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Resumes a paused enrollment."""
        await resume_enrollment(work, enrollment_id)
        return await _saved(work, enrollment_id, "Resumed.")

    @post("/{enrollment_id:uuid}/jump", form=SHOW, guards=[may(MANAGE)], status_code=200)
    async def jump(
        self, enrollment_id: FromPath[UUID], data: JSONBody[JumpForm], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Moves the enrollment to another step of its version."""
        await jump(work, enrollment_id, data.step)
        return await _saved(work, enrollment_id, "Moved to the step you chose.")

    @post("/{enrollment_id:uuid}/skip", form=SHOW, guards=[may(MANAGE)], status_code=200)
    async def skip(self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[EnrollmentPage]:
        """Ends the wait now."""
        await skip_wait(work, enrollment_id)
        return await _saved(work, enrollment_id, "Wait skipped.")

    @post("/{enrollment_id:uuid}/retry", form=SHOW, guards=[may(MANAGE)], status_code=200)
    async def retry(
        self, enrollment_id: FromPath[UUID], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Retries the step: at once if it waits for its next attempt, as a new visit if it failed."""
        await retry_enrollment(work, enrollment_id)
        return await _saved(work, enrollment_id, "The step is being retried.")


async def _saved(work: Work, enrollment_id: UUID, note: str) -> Saved[EnrollmentPage]:
    page = await enrollment_page(work, enrollment_id)
    return Saved(page, see=page.href, created=False, note=note)


class EffectController(Controller):
    path = "/effects/{effect_id:uuid}"
    tags = ("enrollments",)

    @post("/settlement", guards=[may(MANAGE)], status_code=200)
    async def settle(
        self, effect_id: FromPath[UUID], data: JSONBody[SettlementForm], work: NamedDependency[Work]
    ) -> Saved[EnrollmentPage]:
        """Settles an effect in doubt: mark it as sent, or send it again. That of an enrollment that has ended
        is not sent again."""
        enrollment_id = await settle_effect(work, effect_id, sent=data.sent)
        page = await enrollment_page(work, enrollment_id)
        note = "Marked as sent." if data.sent else "Sending again." if page.status == "active" else NOT_SENT
        return Saved(page, see=page.href, created=False, note=note)

    @post("/retry", guards=[may(Permission.RUN_JOBS)], status_code=200)
    async def retry(self, effect_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[EnrollmentPage]:
        """Retries an effect at once if it waits for its next attempt; if it failed permanently, its step
        starts again."""
        enrollment_id = await retry_effect(work, effect_id)
        page = await enrollment_page(work, enrollment_id)
        return Saved(page, see="/jobs", created=False, note="Retrying.")

    @post("/cancellation", guards=[may(Permission.RUN_JOBS)], status_code=200)
    async def cancel(self, effect_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[EnrollmentPage]:
        """Cancels an effect that was not sent; its enrollment fails and does not continue without it."""
        enrollment_id = await cancel_effect(work, effect_id)
        page = await enrollment_page(work, enrollment_id)
        return Saved(page, see="/jobs", created=False, note="Canceled.")
