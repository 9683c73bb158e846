"""Routes of publishing and of published versions."""

from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from app.engine.core.version import load_version
from app.web.actions import action, actions
from app.web.body_limits import DOCUMENT
from app.web.guards import may
from app.web.paging import Paging, cursor_of, part_of
from app.web.request_kinds import BULK
from app.web.responses import Saved
from app.work import Work
from app.workflows.controllers.pages import EDIT, PUBLISH, VIEW, builder_of
from app.workflows.schemas.inputs import RevForm
from app.workflows.schemas.pages import Builder, VersionList, VersionPage
from app.workflows.schemas.publication import PublicationPage, Published, PublishForm
from app.workflows.use_cases.audience import audience_of
from app.workflows.use_cases.plan import groups_of, plan_of, trigger_views, warnings_of
from app.workflows.use_cases.publication import publish, restore, version_of
from app.workflows.use_cases.read import (
    canvas,
    entry_sentence,
    open_workflow,
    problem_views,
    trigger_cards,
    version_rows,
)

MOST_VERSIONS = 500  # on a page, when no limit is given


class PublicationController(Controller):
    path = "/workflows/{workflow_id:uuid}"
    tags = ("workflows",)
    opt = {"limits": DOCUMENT}  # noqa: RUF012 -- as Litestar reads it

    @get("/publication", page="workflows/publication.html", guards=[may(VIEW)], kind=BULK)
    async def plan(self, workflow_id: FromPath[UUID], work: NamedDependency[Work]) -> PublicationPage:
        """The publication plan: problems, the contacts that enter at once, changes, and what happens to
        active enrollments."""
        opened = await open_workflow(work, workflow_id)
        problems = problem_views(opened)
        view = opened.view
        people = await groups_of(work, opened)
        fresh = view.changed or view.status not in ("active", "paused")
        publish_it = action(
            work, "publish", "Publish", f"/workflows/{workflow_id}/publication", permission=PUBLISH,
            form=PublishForm, when=not problems and (fresh or bool(people)),
        )  # fmt: skip
        return PublicationPage(
            view, problems, warnings_of(work, opened), await audience_of(work, opened.draft),
            trigger_views(opened.draft, opened.lookup), plan_of(opened), people, opened.totals,
            actions(publish_it),
        )  # fmt: skip

    @post("/publication", form="/workflows/{workflow_id}/publication", guards=[may(PUBLISH)], kind=BULK)
    async def publish(
        self, workflow_id: FromPath[UUID], data: JSONBody[PublishForm], work: NamedDependency[Work]
    ) -> Saved[Published]:
        """Publishes the draft as the next version, which new contacts enter, and moves active enrollments as
        chosen."""
        done = await publish(work, workflow_id, data)
        return Saved(done, see=f"/workflows/{workflow_id}", note=_summary(done))

    @get("/versions", page="workflows/versions.html", guards=[may(VIEW)])
    async def versions(
        self, workflow_id: FromPath[UUID], work: NamedDependency[Work], paging: NamedDependency[Paging]
    ) -> VersionList:
        """Every published version, the newest first."""
        opened = await open_workflow(work, workflow_id)
        path, rows = f"/workflows/{workflow_id}/versions", await version_rows(work, opened.view)
        items, links = part_of(path, rows, paging, lambda row: cursor_of(row.number), most=MOST_VERSIONS)
        return VersionList(opened.view, [*items], *links, opened.totals, [])

    @get("/versions/{number:int}", page="workflows/version.html", guards=[may(VIEW)])
    async def version(
        self, workflow_id: FromPath[UUID], number: FromPath[int], work: NamedDependency[Work]
    ) -> VersionPage:
        """One frozen version."""
        row = await version_of(work, workflow_id, number)
        opened = await open_workflow(work, workflow_id)
        version = load_version(row.document)
        opened.problems = []
        href = f"/workflows/{workflow_id}/versions/{number}/restoration"
        copy = action(work, "restore", "Copy to draft", href, permission=EDIT, form=RevForm)
        return VersionPage(
            opened.view, number, row.published_by, row.published_at, row.content_hash,
            trigger_cards(version.triggers, opened), entry_sentence(version.entry, opened.lookup),
            canvas(version.steps, opened), opened.shown_document(row.document), opened.totals,
            actions(copy),
        )  # fmt: skip

    @post(
        "/versions/{number:int}/restoration",
        form="/workflows/{workflow_id}/versions/{number}",
        guards=[may(EDIT)],
        status_code=200,
    )
    async def restore(
        self,
        workflow_id: FromPath[UUID],
        number: FromPath[int],
        data: JSONBody[RevForm],
        work: NamedDependency[Work],
    ) -> Saved[Builder]:
        """Copies a version into the draft; the live version stays."""
        await restore(work, workflow_id, number, data.rev)
        page = await builder_of(work, workflow_id)
        note = f"The draft is now a copy of version {number}. Publish it to make it live."
        return Saved(page, see=f"/workflows/{workflow_id}", created=False, note=note)


def _summary(done: Published) -> str:
    sentences = [f"Version {done.version} is live."]
    if done.paused:
        sentences.append(
            "The workflow is still paused. Choose “Resume new entries” in its settings to unpause it."
        )
    if done.job is not None:
        sentences.append("The enrollments are being moved. See Jobs.")
    if done.moved:
        sentences.append(f"{done.moved:,} moved.")
    if done.renewed:
        sentences.append(f"For {done.renewed:,} of them, unsent messages use this version.")
    if done.exited:
        sentences.append(f"{done.exited:,} left.")
    if done.under_way:
        sentences.append(f"{done.under_way:,} stayed because a message may be going out right now.")
    return " ".join(sentences)
