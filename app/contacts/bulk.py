"""Bulk edits: a durable job that changes a set of contacts in batches, one transaction each.

`tag_many`, `set_consent_of_many`, `delete_many`, `restore_many` and `undo_deletion` create the jobs;
`run_bulk_…` process one batch of a job.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, update

from app.contacts.schemas import TAG_NAME, BulkConsentForm, BulkForm, BulkJob, BulkTagForm
from app.contacts.selection import count_selection, read_selection, selection_clause
from app.errors import Conflict, Invalid, NotFound, Unconfirmed
from app.tags.use_cases import ensured_tag
from app.work import Work
from db.ids import uuid7
from db.models import AuditLog, Event, Job

BATCH = 500
QUEUE = "bulk"
DELETE, RESTORE, TAG, CONSENT = "bulk.delete", "bulk.restore", "bulk.tag", "bulk.consent"


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
    args = selection | {"tag_id": str(tag_id), "tag": name, "operation": form.operation}
    return await _add_job(work, TAG, args, total)


async def set_consent_of_many(work: Work, form: BulkConsentForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that sets the consent of contacts for one channel. Without a state a browser gets a
    page that asks for it. Raises as `tag_many`."""
    selection = await read_selection(work, form)
    total = await count_selection(work, form, selection, asks=asks)
    if not form.state:
        if asks and form.expected is None:
            raise Unconfirmed("Choose a consent status.", {"total": total})
        raise Invalid({"state": "Choose granted, denied or unknown."})
    return await _add_job(work, CONSENT, selection | {"channel": form.channel, "state": form.state}, total)


async def delete_many(work: Work, form: BulkForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that soft-deletes contacts. Raises as `tag_many`."""
    selection = await read_selection(work, form)
    return await _add_job(work, DELETE, selection, await count_selection(work, form, selection, asks=asks))


async def restore_many(work: Work, form: BulkForm, *, asks: bool = False) -> BulkJob:
    """Creates the job that restores deleted contacts. Raises as `tag_many`."""
    selection = await read_selection(work, form, deleted=True)
    return await _add_job(work, RESTORE, selection, await count_selection(work, form, selection, asks=asks))


async def undo_deletion(work: Work, job_id: UUID) -> BulkJob:
    """Creates the job that restores the contacts of a bulk deletion that are still deleted; once. Raises
    `NotFound`, `Conflict`."""
    job = await work.jobs.locked(job_id)
    if job is None:
        raise NotFound("job")
    if job.task != DELETE:
        raise Conflict("Only a bulk deletion can be undone.")
    if job.status in ("queued", "running"):
        raise Conflict("This job hasn't finished yet. Cancel it first, then undo it.", {"status": job.status})
    if (job.result or {}).get("undone_by"):
        raise Conflict("This job was already undone.", {"undone_by": (job.result or {})["undone_by"]})
    total = await work.contacts.count_deleted_by(job_id)
    if total == 0:
        raise Conflict("None of these contacts is still deleted.")
    undo_id = work.add_job(QUEUE, RESTORE, {"undo_of": str(job_id)}, total=total)
    job.result = {**(job.result or {}), "undone_by": str(undo_id)}
    work.audit("job.undone", "job", job_id, {"contacts": [None, total]})
    await work.commit()
    return BulkJob(undo_id, total, f"/jobs/{undo_id}")


async def _add_job(work: Work, task: str, args: Mapping[str, Any], total: int) -> BulkJob:
    job_id = work.add_job(QUEUE, task, args, total=total)
    details = {key: value for key, value in args.items() if key not in ("ids", "deleted") and value}
    audited = {"contacts": total} | details
    work.audit(f"{task}.started", "job", job_id, {key: [None, value] for key, value in audited.items()})
    await work.commit()
    return BulkJob(job_id, total, f"/jobs/{job_id}")


async def run_bulk_tag(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that adds or removes a tag; True when it was the last one."""
    tag_id, name, adds = UUID(job.args["tag_id"]), job.args["tag"], job.args["operation"] == "add"

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        if await work.tags.row(tag_id) is None:
            return []
        return await (work.contacts.tag(ids, tag_id) if adds else work.contacts.untag(ids, tag_id))

    async def record(ids: Sequence[UUID]) -> None:
        kind = "tag.added" if adds else "tag.removed"
        await _emit(work, ids, kind, {"tag_id": str(tag_id)})
        await _audit(work, ids, kind, {"tag": [None, name] if adds else [name, None]})

    return await _batch(work, job, change, record)


async def run_bulk_consent(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that sets consent; True when it was the last one."""
    field, state = f"{job.args['channel']}_consent", job.args["state"]
    before: dict[UUID, str] = {}

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        before.update(await work.contacts.set_consent(ids, field, state, work.now))
        return list(before)

    async def record(ids: Sequence[UUID]) -> None:
        for old in sorted(set(before.values())):
            same = [contact_id for contact_id in ids if before[contact_id] == old]
            changes = {field: [old, state]}
            await _emit(work, same, "contact.updated", {"changes": changes})
            await _audit(work, same, "contact.updated", changes)

    return await _batch(work, job, change, record)


async def run_bulk_delete(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that deletes; True when it was the last one."""

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        return await work.contacts.mark_deleted(ids, work.now, job.id)

    async def record(ids: Sequence[UUID]) -> None:
        await _emit(work, ids, "contact.deleted", {})
        await _audit(work, ids, "contact.deleted", {"deleted": [False, True]})

    return await _batch(work, job, change, record)


async def run_bulk_restore(work: Work, job: Job) -> bool:
    """Runs the next batch of a job that restores contacts or undoes a deletion; True when it was the last
    one. A contact whose email address or external ID now belongs to another contact stays deleted and counts
    as `not_restored`."""

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        return await work.contacts.mark_restored(ids, work.now)

    async def record(ids: Sequence[UUID]) -> None:
        await _audit(work, ids, "contact.restored", {"deleted": [True, False]})

    return await _batch(work, job, change, record, left="not_restored")


async def _batch(
    work: Work,
    job: Job,
    change: Callable[[Sequence[UUID]], Awaitable[list[UUID]]],
    record: Callable[[Sequence[UUID]], Awaitable[None]],
    *,
    left: str = "",
) -> bool:
    """Runs one batch and stores the cursor of the next one in the same transaction, so that a killed worker
    loses and repeats nothing. The job's result counts the changed contacts, and as `left` the others."""
    this_job = (Job.account_id == work.account_id, Job.id == job.id)
    stored = await work.session.scalar(select(Job.result).where(*this_job).with_for_update())
    result = dict(stored or {})
    after = UUID(result["cursor"]) if "cursor" in result else None
    ids = await work.contacts.batch(await selection_clause(work, job.args, job), after, BATCH)
    changed = await change(ids) if ids else []
    if changed:
        await record(changed)
    result["changed"] = result.get("changed", 0) + len(changed)
    if left and len(ids) > len(changed):
        result[left] = result.get(left, 0) + len(ids) - len(changed)
    if ids:
        result["cursor"] = str(ids[-1])
    last = len(ids) < BATCH
    progress = Job.total if last else Job.progress + len(ids)
    await work.session.execute(
        update(Job)
        .where(*this_job)
        .values(progress=progress, result=result)
        .execution_options(synchronize_session=False)
    )
    if changed:
        work.notify_worker()
    await work.commit()
    return last


async def _emit(work: Work, ids: Sequence[UUID], kind: str, data: Mapping[str, Any]) -> None:
    """Writes one event for each changed contact."""
    events = []
    for contact_id in ids:
        event_id = uuid7()
        events.append({
            "account_id": work.account_id, "id": event_id, "root_event_id": event_id, "kind": kind,
            "subject_id": contact_id, "source": "bulk", "data": dict(data), "occurred_at": work.now,
        })  # fmt: skip
    await work.session.execute(insert(Event), events)


async def _audit(work: Work, ids: Sequence[UUID], action: str, changes: Mapping[str, Any]) -> None:
    """Writes one audit entry for each changed contact."""
    actor = {"actor_kind": work.actor.kind, "actor_id": work.actor.id, "actor_name": work.actor.name}
    lines = [
        actor | {
            "account_id": work.account_id, "id": uuid7(), "action": action, "subject_kind": "contact",
            "subject_id": str(contact_id), "changes": dict(changes), "occurred_at": work.now,
        }
        for contact_id in ids
    ]  # fmt: skip
    await work.session.execute(insert(AuditLog), lines)
