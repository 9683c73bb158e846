"""Create, change and delete segments."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec import UNSET
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Invalid, NotFound
from app.filters.ast import Filter, FilterError
from app.filters.fields import Fields
from app.filters.parse import describe, filter_problems, parse, stored_form, to_items
from app.filters.references import Use, still_used_message
from app.filters.stored import decode_filter_or_none, decode_filters
from app.patch import resolve
from app.segments.domain import clean_name, dependent_segments, group_problem
from app.segments.schemas import SegmentChangeForm, SegmentForm
from app.work import Work
from db.models import Segment
from db.queries.references import find_uses, lock_for_deletion, lock_for_reference
from db.queries.segment_members import restart_failed_segments
from db.queries.segments import compare_segments_now, lock_segments
from db.repositories.tags import slug_of


def read_conditions(f: Sequence[str], match: str, fields: Fields, tags: Mapping[str, str]) -> Filter:
    """The filter of a form. Raises `Invalid` for "f"."""
    try:
        group = parse(f, match)
    except FilterError as error:
        raise Invalid({"f": " ".join(error.problems.values())}) from None
    problems = filter_problems(group, fields, tags)
    if problems:
        raise Invalid({"f": " ".join(dict.fromkeys(problems.values()))})
    if not group.items:
        raise Invalid({"f": "A segment needs at least one condition. Filter the contacts first."})
    return stored_form(group, fields)


async def create_segment(work: Work, form: SegmentForm) -> UUID:
    """Saves a filter under a name. Raises `Invalid`."""
    name = await _free_name(work, form.name, None)
    await lock_for_reference(work.session)
    fields, tags = await work.fields.catalog(), await work.tags.names()
    group = read_conditions(form.f, form.match, fields, tags)
    segment = Segment(
        name=name,
        slug=slug_of(name),
        filter=msgspec.to_builtins(group),
        created_by=work.actor.name,
        created_at=work.now,
        updated_at=work.now,
    )
    try:
        await work.segments.add(segment)
    except IntegrityError:
        await work.session.rollback()
        raise Invalid({"name": f"There is already a segment named “{name}”."}) from None
    changes = {"name": [None, name], "filter": [None, describe(group, fields, tags)]}
    work.audit("segment.created", "segment", segment.id, changes)
    await work.commit()
    return segment.id


async def change_segment(work: Work, segment_id: UUID, form: SegmentChangeForm) -> str:
    """Changes the name or the filter; returns the name. Raises `Invalid`, `NotFound`, and `Conflict` for an
    outdated `rev`."""
    await lock_segments(work.session)
    segment = await work.segments.get_one_or_none(id=segment_id, with_for_update=True)
    if segment is None:
        raise NotFound("segment")
    if form.rev is not None and form.rev != segment.rev:
        raise Conflict(
            "Someone changed this segment after you opened it. Nothing was saved. Reload it and try again."
        )
    name, stored, changes = segment.name, segment.filter, dict[str, list[str]]()
    if isinstance(form.name, str):
        name = await _free_name(work, form.name, segment_id)
        if name != segment.name:
            changes["name"] = [segment.name, name]
    if form.f is not UNSET or form.match is not UNSET:
        await lock_for_reference(work.session)
        fields, tags = await work.fields.catalog(), await work.tags.names()
        match, items = to_items(decode_filter_or_none(segment.filter))
        group = read_conditions(resolve(form.f, items), resolve(form.match, match), fields, tags)
        stored = msgspec.to_builtins(group)
        if stored != segment.filter:
            changes["filter"] = [filter_sentence(segment, fields, tags), describe(group, fields, tags)]
            await _check_all_segments(work, segment_id, group)
    if changes:
        segment.name, segment.slug, segment.filter = name, slug_of(name), stored
        segment.rev, segment.updated_at = segment.rev + 1, work.now
        work.audit("segment.updated", "segment", segment_id, changes)
    await work.commit()
    return name


def filter_sentence(segment: Segment, fields: Fields, tags: Mapping[str, str]) -> str:
    """The filter of a segment as a sentence."""
    expression = decode_filter_or_none(segment.filter)
    return "(unreadable filter)" if expression is None else describe(expression, fields, tags)


async def _check_all_segments(work: Work, segment_id: UUID, expression: Filter) -> None:
    """Checks the change against all segments, schedules affected watched segments for evaluation now, and
    restarts segments whose evaluation had failed. Raises `Invalid`."""
    filters = decode_filters(await work.segments.sorted_by_name()) | {segment_id: expression}
    problem = group_problem(filters)
    if problem:
        raise Invalid({"f": problem})
    await compare_segments_now(work.session, dependent_segments(segment_id, filters), work.now)
    await restart_failed_segments(work.session)
    work.notify_worker("schedules")


async def delete_segment(work: Work, segment_id: UUID) -> str:
    """Deletes a segment that nothing uses; returns its name. Raises `Conflict` with the list of its users,
    and `NotFound`."""
    await lock_segments(work.session)
    segment = await work.segments.get_one_or_none(id=segment_id, with_for_update=True)
    if segment is None:
        raise NotFound("segment")
    await lock_for_deletion(work.session)
    used = await users_of(work, segment_id)
    if used:
        raise Conflict(
            still_used_message(f"The segment “{segment.name}”", used), current=msgspec.to_builtins(used)
        )
    await work.session.delete(segment)
    work.audit("segment.deleted", "segment", segment_id, {"name": [segment.name, None]})
    await work.commit()
    return segment.name


async def users_of(work: Work, segment_id: UUID) -> list[Use]:
    """The workflows and segments that use a segment."""
    return await find_uses(work.session, "segment", str(segment_id))


async def _free_name(work: Work, name: str, own: UUID | None) -> str:
    try:
        clean = clean_name(name)
    except ValueError as error:
        raise Invalid({"name": str(error)}) from None
    other = await work.segments.get_one_or_none(slug=slug_of(clean))
    if other is not None and other.id != own:
        raise Invalid({"name": f"There is already a segment named “{other.name}”."})
    return clean
