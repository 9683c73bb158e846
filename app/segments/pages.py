"""Builds the pages of segments: the list, one segment, the form for a new one."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from app.contacts.listing import Query, chips_of, condition, read_filter
from app.contacts.schemas import Chip
from app.errors import Invalid, NotFound
from app.filters.ast import Filter, Group
from app.filters.fields import Fields
from app.filters.parse import describe, to_items
from app.filters.stored import decode_filter_or_none
from app.permissions import Permission
from app.segments.schemas import (
    SegmentChangeForm,
    SegmentCount,
    SegmentCounts,
    SegmentForm,
    SegmentFormPage,
    SegmentList,
    SegmentPage,
    SegmentView,
)
from app.segments.use_cases import filter_sentence, users_of
from app.web.actions import action, actions
from app.web.paging import Paging, part_of
from app.work import Work
from db.models import Segment
from db.queries.contact_pages import MOST_COUNTED_IN_LIST, count_contacts
from db.queries.counters import read_sizes
from db.queries.statements import StatementStopped, stoppable

EDIT = Permission.EDIT_CONTACTS
NEEDS_CONDITION = "A segment needs at least one condition. Filter the contacts, then save the filter."


class FilterContext(msgspec.Struct):
    """The fields, tags (id to name) and time zone with which filters of an account are read and evaluated."""

    fields: Fields
    tags: Mapping[str, str]
    zone: ZoneInfo

    @classmethod
    async def of(cls, work: Work) -> "FilterContext":
        zone = ZoneInfo((await work.accounts.own()).time_zone)
        return cls(await work.fields.catalog(), await work.tags.names(), zone)


async def segment_list(work: Work, paging: Paging, *, count: bool) -> SegmentList:
    """Every segment, with the number of contacts in it; unless they are to be counted, only where it is
    known."""
    context = await FilterContext.of(work)
    segments, links = part_of("/segments", await work.segments.sorted_by_name(), paging, attrgetter("id"))
    sizes = await _stored_sizes(work, segments)
    views = [await view(work, segment, context, sizes.get(segment.id), count=count) for segment in segments]
    query = urlencode({name: value for name, value in paging.query().items() if value})
    counts = "" if all(item.counted for item in views) else f"/segments/counts{'?' * bool(query)}{query}"
    return SegmentList(views, *links, [], counts)


async def segment_counts(work: Work, paging: Paging) -> SegmentCounts:
    """The number of contacts in each segment that `segment_list` has on this page. A filter that takes too
    long is left out, and the others are counted."""
    context = await FilterContext.of(work)
    segments, _ = part_of("/segments", await work.segments.sorted_by_name(), paging, attrgetter("id"))
    sizes, counts = await _stored_sizes(work, segments), []
    for segment in segments:
        total, expression = None, decode_filter_or_none(segment.filter)
        if expression is not None:
            with suppress(StatementStopped):
                async with stoppable(work.session):
                    total = await _total(work, expression, context, sizes.get(segment.id))
        capped = None if total is None else min(total, MOST_COUNTED_IN_LIST)
        more = (total or 0) > MOST_COUNTED_IN_LIST
        counts.append(SegmentCount(segment.id, segment.name, capped, more, _contacts_href(segment)))
    return SegmentCounts(counts)


def _contacts_href(segment: Segment) -> str:
    return "/contacts?" + urlencode([("f", f"segments:any_of:{segment.id}")])


async def _stored_sizes(work: Work, segments: Sequence[Segment]) -> dict[UUID, int]:
    """The number of members of the watched segments that are not to be compared now: nothing to evaluate."""
    stored = [segment.id for segment in segments if segment.due_at is not None and segment.due_at > work.now]
    sizes = await read_sizes(work.session, "segments") if stored else None
    return {} if sizes is None else {segment_id: sizes.get(segment_id, 0) for segment_id in stored}


async def segment_page(work: Work, segment_id: UUID) -> SegmentPage:
    """One segment and what uses it. Raises `NotFound`."""
    segment = await work.segments.get_one_or_none(id=segment_id)
    if segment is None:
        raise NotFound("segment")
    used, href = await users_of(work, segment_id), f"/segments/{segment_id}"
    context = await FilterContext.of(work)
    shown = await view(work, segment, context)
    return SegmentPage(
        shown,
        used,
        _chips(segment, shown, context),
        actions(
            action(work, "update", "Save", href, method="PATCH", permission=EDIT, form=SegmentChangeForm),
            action(work, "filter", "Edit filter", shown.edit_href, permission=EDIT, method="GET"),
            action(work, "delete", "Delete", href, method="DELETE", permission=EDIT, when=not used),
        ),
    )


def _chips(segment: Segment, shown: SegmentView, context: FilterContext) -> list[Chip]:
    """The conditions of a segment; none when its filter can't be read."""
    expression = decode_filter_or_none(segment.filter)
    if expression is None:
        return []
    group = expression if isinstance(expression, Group) else Group("all", [expression])
    query = Query(f=shown.f, match=group.match, segment=str(segment.id))
    return chips_of(query, group, context.fields, context.tags)


async def new_page(work: Work, f: list[str], match: str) -> SegmentFormPage:
    """The form that saves a filter. An invalid one is shown with its problem."""
    context = await FilterContext.of(work)
    problem, described, total = "" if f else NEEDS_CONDITION, "", 0
    try:
        group = read_filter(f, match, context.fields, context.tags)
        described = describe(group, context.fields, context.tags)
        total = await _total(work, group, context) or 0
    except Invalid as error:
        problem = " ".join(error.errors.values())
    create = action(work, "create", "Save segment", "/segments", permission=EDIT, form=SegmentForm)
    return SegmentFormPage(
        f,
        "any" if match == "any" else "all",
        described,
        min(total, MOST_COUNTED_IN_LIST),
        total > MOST_COUNTED_IN_LIST,
        Query(f=f, match="any" if match == "any" else "all").href(),
        problem,
        actions(create),
    )


async def view(
    work: Work, segment: Segment, context: FilterContext, size: int | None = None, *, count: bool = True
) -> SegmentView:
    """A segment as the page shows it, with its number of contacts, which is `size` if that is known, and else
    not counted without `count`."""
    expression, total = decode_filter_or_none(segment.filter), None
    uncounted = expression is not None and size is None and not count
    if expression is not None and not uncounted:
        total = await _total(work, expression, context, size)
    match, items = to_items(expression)
    return SegmentView(
        segment.id,
        segment.name,
        filter_sentence(segment, context.fields, context.tags),
        segment.filter,
        items,
        match,
        segment.rev,
        None if total is None else min(total, MOST_COUNTED_IN_LIST),
        (total or 0) > MOST_COUNTED_IN_LIST,
        segment.due_at is not None,
        segment.created_by,
        segment.created_at,
        segment.updated_at,
        _contacts_href(segment),
        Query(f=items, match=match, segment=str(segment.id)).href(),
        counted=not uncounted,
    )


async def _total(
    work: Work, expression: Filter, context: FilterContext, size: int | None = None
) -> int | None:
    """How many contacts the filter selects, which is `size` if that is known; None when it can't be
    evaluated."""
    try:
        clause = condition(expression, "", context.fields, context.zone, work.now)
    except Invalid:
        return None
    return await count_contacts(work.session, clause) if size is None else size
