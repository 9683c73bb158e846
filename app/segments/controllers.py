"""Routes of segments."""

from typing import Literal
from uuid import UUID

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from app.permissions import Permission
from app.segments.pages import new_page, segment_counts, segment_list, segment_page
from app.segments.schemas import (
    SegmentChangeForm,
    SegmentCounts,
    SegmentForm,
    SegmentFormPage,
    SegmentList,
    SegmentPage,
)
from app.segments.use_cases import change_segment, create_segment, delete_segment
from app.web.forms import Form
from app.web.guards import may
from app.web.methods import deletion, partial_update
from app.web.paging import Paging
from app.web.request import Request
from app.web.request_kinds import COUNT, search_with
from app.web.responses import Saved
from app.work import Work

EDIT = Permission.EDIT_CONTACTS


class SegmentController(Controller):
    path = "/segments"
    tags = ("segments",)

    @get(page="segments/index.html", guards=[may(Permission.VIEW)], kind=COUNT)
    async def index(
        self,
        request: Request,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
        count: FromQuery[Literal["none", "capped"] | None] = None,
    ) -> SegmentList:
        """Every segment, with the number of contacts in it now. With `count` none only where that is known; a
        browser asks for it when it has the page."""
        return await segment_list(work, paging, count=count == "capped" if count else not request.wants_html)

    @get("/counts", fragment="segments/_counts.html", guards=[may(Permission.VIEW)], kind=COUNT)
    async def counts(self, work: NamedDependency[Work], paging: NamedDependency[Paging]) -> SegmentCounts:
        """How many contacts are in each segment of the list now."""
        return await segment_counts(work, paging)

    @get("/new", page="segments/new.html", guards=[may(EDIT)], kind=search_with("f"))
    async def new(
        self,
        request: Request,
        work: NamedDependency[Work],
        f: FromQuery[list[str] | None] = None,
        match: FromQuery[str] = "all",
    ) -> SegmentFormPage:
        """The form that saves a filter: `f` and `match` as in the URL of the contact list."""
        refused: Form | None = request.scope["state"].get("form")
        if refused is not None and refused.values:
            typed = refused.values.get("f") or []
            f = typed if isinstance(typed, list) else [typed]
            match = str(refused.values.get("match") or "all")
        return await new_page(work, f or [], match)

    @post(page="segments/show.html", form="/segments/new", guards=[may(EDIT)])
    async def create(self, data: JSONBody[SegmentForm], work: NamedDependency[Work]) -> Saved[SegmentPage]:
        """Saves a filter under a name."""
        segment_id = await create_segment(work, data)
        page = await segment_page(work, segment_id)
        return Saved(page, see=f"/segments/{segment_id}", note=f"Segment {page.segment.name} was saved.")

    @get("/{segment_id:uuid}", page="segments/show.html", guards=[may(Permission.VIEW)], kind=COUNT)
    async def show(self, segment_id: FromPath[UUID], work: NamedDependency[Work]) -> SegmentPage:
        """One segment: its filter, its number of contacts, and what uses it."""
        return await segment_page(work, segment_id)

    @partial_update("/{segment_id:uuid}", form="/segments/{segment_id}", guards=[may(EDIT)])
    async def update(
        self, segment_id: FromPath[UUID], data: JSONBody[SegmentChangeForm], work: NamedDependency[Work]
    ) -> Saved[SegmentPage]:
        """Changes the name or the filter; workflows and segments that use it follow the new filter."""
        await change_segment(work, segment_id, data)
        page = await segment_page(work, segment_id)
        return Saved(page, see=f"/segments/{segment_id}", created=False, note="The segment was saved.")

    @deletion("/{segment_id:uuid}", form="/segments/{segment_id}", guards=[may(EDIT)])
    async def delete_segment(self, segment_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[None]:
        """Deletes a segment. 409 with the list of uses while a workflow or a segment uses it."""
        name = await delete_segment(work, segment_id)
        return Saved(None, see="/segments", note=f"The segment {name} was deleted.")
