"""Bulk edits: a durable job that changes a set of contacts in batches, one transaction each.

`tag_many`, `set_consent_of_many`, `delete_many`, `restore_many` and `undo_deletion` create the jobs;
`run_bulk_…` process one batch of a job.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from app.contacts.schemas import TAG_NAME, BulkConsentForm, BulkForm, BulkJob, BulkTagForm
from app.contacts.selection import Selection, count_selection, read_selection, selection_clause
from app.errors import Conflict, Invalid, NotFound, Unconfirmed
from app.json_types import Json, JsonObject
from app.tags.use_cases import ensured_tag
from app.work import Work
from db.ids import uuid7
from db.models import Job
from db.queries.contact_audit import ContactAuditEntry, insert_contact_audit_entries
from db.queries.contact_conditions import deleted_by
from db.queries.contact_writes import (
    ConsentField,
    add_tag_to_contacts,
    delete_contacts_by_job,
    lock_next_contacts,
    remove_tag_from_contacts,
    restore_contacts,
    set_consent_of_contacts,
)
from db.queries.new_events import NewEvent, insert_events

BATCH = 500
QUEUE = "bulk"
DELETE, RESTORE, TAG, CONSENT = "bulk.delete", "bulk.restore", "bulk.tag", "bulk.consent"


class TagArgs(Selection, frozen=True, kw_only=True):
    """What a job stores that adds a tag or removes it."""

    tag_id: UUID
    tag: str
    operation: Literal["add", "remove"]


class ConsentArgs(Selection, frozen=True, kw_only=True):
    """What a job stores that sets consent."""

    channel: Literal["email", "sms"]
    state: Literal["granted", "denied", "unknown"]


async def tag_many(work: Work, form: BulkTagForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that adds a tag to contacts or removes it. `asks` is for browsers, as in
    `check_number`; without a tag they get a page that asks for it. Raises `Invalid`, `Conflict`,
    `Unconfirmed`."""
    selection = await read_selection(work, form)
    try:
        total = await count_selection(work, form, selection, asks=asks)
        if asks and form.expected is None and not form.tag.strip():
            raise Unconfirmed("Choose a tag.", {"total": total})
    except Conflict as error:
        if asks:  # the confirmation page offers the existing tags
            tags = list((await work.tags.names()).values())
            error.current = {**msgspec.to_builtins(error.current), "tags": tags}
        raise
    if not form.tag.strip():
        raise Invalid({"tag": TAG_NAME})
    tag_id, name = await ensured_tag(work, form.tag)
    args: JsonObject = {"tag_id": str(tag_id), "tag": name, "operation": form.operation}
    return await _add_job(work, TAG, selection.args() | args, total)


async def set_consent_of_many(work: Work, form: BulkConsentForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that sets the consent of contacts for one channel. Without a state a browser gets a
    page that asks for it. Raises as `tag_many`."""
    selection = await read_selection(work, form)
    total = await count_selection(work, form, selection, asks=asks)
    if not form.state:
        if asks and form.expected is None:
            raise Unconfirmed("Choose a consent status.", {"total": total})
        raise Invalid({"state": "Choose granted, denied or unknown."})
    args: JsonObject = {"channel": form.channel, "state": form.state}
    return await _add_job(work, CONSENT, selection.args() | args, total)


async def delete_many(work: Work, form: BulkForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that soft-deletes contacts. Raises as `tag_many`."""
    selection = await read_selection(work, form)
    total = await count_selection(work, form, selection, asks=asks)
    return await _add_job(work, DELETE, selection.args(), total)


async def restore_many(work: Work, form: BulkForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that restores deleted contacts. Raises as `tag_many`."""
    selection = await read_selection(work, form, deleted=True)
    total = await count_selection(work, form, selection, asks=asks)
    return await _add_job(work, RESTORE, selection.args(), total)


async def undo_deletion(work: Work, job_id: UUID) -> BulkJob:
    """Creates the job that restores the contacts of a bulk deletion that are still deleted; once. Raises
    `NotFound`, `Conflict`."""
    job = await work.jobs.lock(job_id)
    if job is None:
        raise NotFound("job")
    if job.task != DELETE:
        raise Conflict("Only a bulk deletion can be undone.")
    if job.status in ("queued", "running"):
        raise Conflict("This job hasn't finished yet. Cancel it first, then undo it.", {"status": job.status})
    if (job.result or {}).get("undone_by"):
        raise Conflict("This job was already undone.", {"undone_by": (job.result or {})["undone_by"]})
    total = await work.contacts.count(deleted_by(job_id))
    if total == 0:
        raise Conflict("None of these contacts is still deleted.")
    undo_id = work.add_job(QUEUE, RESTORE, Selection(undo_of=job_id).args(), total=total)
    job.result = {**(job.result or {}), "undone_by": str(undo_id)}
    work.audit("job.undone", "job", job_id, {"contacts": [None, total]})
    await work.commit()
    return BulkJob(undo_id, total, f"/jobs/{undo_id}")


async def _add_job(work: Work, task: str, args: JsonObject, total: int) -> BulkJob:
    job_id = work.add_job(QUEUE, task, args, total=total)
    details = {key: value for key, value in args.items() if key not in ("ids", "deleted") and value}
    audited = {"contacts": total} | details
    work.audit(f"{task}.started", "job", job_id, {key: [None, value] for key, value in audited.items()})
    await work.commit()
    return BulkJob(job_id, total, f"/jobs/{job_id}")


async def run_bulk_tag(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that adds or removes a tag; True when it was the last one."""
    args = msgspec.convert(job.args, TagArgs)
    adds = args.operation == "add"

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        if await work.tags.get_one_or_none(id=args.tag_id) is None:
            return []
        change_tags = add_tag_to_contacts if adds else remove_tag_from_contacts
        return await change_tags(work.session, ids, args.tag_id)

    async def record(ids: Sequence[UUID]) -> None:
        kind = "tag.added" if adds else "tag.removed"
        await _emit(work, ids, kind, {"tag_id": str(args.tag_id)})
        await _audit(work, ids, kind, {"tag": [None, args.tag] if adds else [args.tag, None]})

    return await _batch(work, job, args, change, record)


async def run_bulk_consent(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that sets consent; True when it was the last one."""
    args = msgspec.convert(job.args, ConsentArgs)
    field: ConsentField = "email_consent" if args.channel == "email" else "sms_consent"
    before: dict[UUID, str] = {}

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        before.update(await set_consent_of_contacts(work.session, ids, field, args.state, work.now))
        return list(before)

    async def record(ids: Sequence[UUID]) -> None:
        for old in sorted(set(before.values())):
            same = [contact_id for contact_id in ids if before[contact_id] == old]
            await _emit(work, same, "contact.updated", {"changes": {field: [old, args.state]}})
            await _audit(work, same, "contact.updated", {field: [old, args.state]})

    return await _batch(work, job, args, change, record)


async def run_bulk_delete(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that deletes; True when it was the last one."""

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        return await delete_contacts_by_job(work.session, ids, work.now, job.id)

    async def record(ids: Sequence[UUID]) -> None:
        await _emit(work, ids, "contact.deleted", {})
        await _audit(work, ids, "contact.deleted", {"deleted": [False, True]})

    return await _batch(work, job, msgspec.convert(job.args, Selection), change, record)


async def run_bulk_restore(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that restores contacts or undoes a deletion; True when it was the last
    one. A contact whose email address or external ID now belongs to another contact stays deleted and counts
    as `not_restored`."""

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        return await restore_contacts(work.session, ids, work.now)

    async def record(ids: Sequence[UUID]) -> None:
        await _audit(work, ids, "contact.restored", {"deleted": [True, False]})

    selection = msgspec.convert(job.args, Selection)
    return await _batch(work, job, selection, change, record, left="not_restored")


async def _batch(
    work: Work,
    job: Job,
    selection: Selection,
    change: Callable[[Sequence[UUID]], Awaitable[list[UUID]]],
    record: Callable[[Sequence[UUID]], Awaitable[None]],
    *,
    left: str = "",
) -> bool:
    """Runs one batch and stores the cursor of the next one in the same transaction, so that a killed worker
    loses and repeats nothing. The job's result counts the changed contacts, and as `left` the others."""
    locked = await work.jobs.lock(job.id)
    if locked is None:
        raise NotFound("job")
    result = dict(locked.result or {})
    after = msgspec.convert(result.get("cursor"), UUID | None)
    ids = await lock_next_contacts(work.session, await selection_clause(work, selection, job), after, BATCH)
    changed = await change(ids) if ids else []
    if changed:
        await record(changed)
        work.notify_worker("match")
    result["changed"] = msgspec.convert(result.get("changed", 0), int) + len(changed)
    if left and len(ids) > len(changed):
        result[left] = msgspec.convert(result.get(left, 0), int) + len(ids) - len(changed)
    if ids:
        result["cursor"] = str(ids[-1])
    last = len(ids) < BATCH
    locked.progress = locked.total if last else locked.progress + len(ids)
    locked.result = result
    await work.commit()
    return last


async def _emit(work: Work, ids: Sequence[UUID], kind: str, data: JsonObject) -> None:
    """Writes one event for each changed contact."""
    events = []
    for contact_id in ids:
        event_id = uuid7()
        events.append(NewEvent(event_id, kind, contact_id, "bulk", data, event_id))
    await insert_events(work.session, events, work.now)


async def _audit(work: Work, ids: Sequence[UUID], action: str, changes: Mapping[str, Sequence[Json]]) -> None:
    """Writes one audit entry for each changed contact."""
    entries = [ContactAuditEntry(action, contact_id, changes) for contact_id in ids]
    actor = work.actor
    await insert_contact_audit_entries(
        work.session, entries, actor_kind=actor.kind, actor_id=actor.id, actor_name=actor.name, now=work.now
    )
