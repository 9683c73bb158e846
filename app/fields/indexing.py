"""Fields that the account marks as *indexed*: lists sort and filter by them fast, of a million contacts too.
`index_field` and `end_index` are the commands, `run_field_index` fills the column of the field's slot."""

from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from app.errors import Conflict, Invalid, NotFound
from app.filters.fields import INDEXABLE
from app.work import Work
from db.models import CustomField, Job
from db.queries.indexed_values import fill_slot
from db.queries.references import lock_for_deletion

TASK, QUEUE = "field.index", "bulk"
MOST_INDEXED = 10
BATCH = 2_000
FULL = "Ten fields are indexed already, which is the most. End the index of another one first."
NOT_INDEXABLE = "Only numbers, amounts, dates and times can be indexed."


class IndexArgs(msgspec.Struct):
    """The field, and the slot whose column the job fills."""

    field_id: UUID
    slot: int


class IndexResult(msgspec.Struct):
    """How many contacts the job has filled, and the last one of them."""

    changed: int = 0
    cursor: UUID | UnsetType = UNSET


async def index_field(work: Work, field_id: UUID) -> UUID:
    """Gives the field a slot and adds the job that fills it. Raises `NotFound`, `Conflict` when it is indexed
    already, `Invalid` for another type and when no slot is free."""
    field = await _locked(work, field_id)
    if field.type not in INDEXABLE:
        raise Invalid({"": NOT_INDEXABLE})
    if field.slot is not None:
        raise Conflict(f"{field.label} is indexed already.")
    taken = {other.slot for other in await work.fields.in_order()}
    slot = next((number for number in range(1, MOST_INDEXED + 1) if number not in taken), None)
    if slot is None:
        raise Invalid({"": FULL})
    field.slot, field.indexed = slot, False
    args = IndexArgs(field_id, slot)
    total = await work.contacts.count()
    job_id = work.add_job(QUEUE, TASK, msgspec.to_builtins(args), total=total)
    work.audit("field.indexed", "field", field_id, {"indexed": [False, True]})
    await work.commit()
    return job_id


async def end_index(work: Work, field_id: UUID) -> None:
    """Takes the slot away. Raises `NotFound`, `Conflict` when the field has none."""
    field = await _locked(work, field_id)
    if field.slot is None:
        raise Conflict(f"{field.label} isn't indexed.")
    field.slot, field.indexed = None, False
    work.audit("field.updated", "field", field_id, {"indexed": [True, False]})
    await work.commit()


async def _locked(work: Work, field_id: UUID) -> CustomField:
    """The field. One change of slots at a time, so that no two fields take one."""
    await lock_for_deletion(work.session)
    field = await work.fields.get_one_or_none(id=field_id, with_for_update=True)
    if field is None:
        raise NotFound("field")
    return field


async def run_field_index(work: Work, job: Job) -> bool:
    """Fills the next batch of contacts; after the last one lists use the index. It ends when the field lost
    its slot meanwhile. A batch may run again: it writes what differs."""
    args = msgspec.convert(job.args, IndexArgs)
    locked = await work.jobs.lock(job.id)
    if locked is None:
        raise NotFound("job")
    field = await work.fields.get_one_or_none(id=args.field_id, with_for_update=True)
    if field is None or field.slot != args.slot:
        raise Conflict("The field is no longer to be indexed.")
    result = msgspec.convert(locked.result or {}, IndexResult)
    after = None if result.cursor is UNSET else result.cursor
    filled = await fill_slot(work.session, args.slot, args.field_id, field.type, after, BATCH)
    result.changed += filled.changed
    if filled.last is not None:
        result.cursor = filled.last
        locked.progress += filled.passed
    else:
        field.indexed, field.updated_at = True, work.now
        locked.progress = locked.total
    locked.result = msgspec.to_builtins(result)
    await work.commit()
    return filled.last is None
