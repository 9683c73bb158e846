"""Work on many contacts: a durable job that walks over a set in batches, each in one transaction."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select, update

from app.contacts.listing import clean_search, condition, read_filter
from app.contacts.schemas import BulkForm, BulkJob, BulkTagForm
from app.errors import Invalid
from app.tags.use_cases import ensured_tag
from app.work import Work
from db.ids import uuid7
from db.models import AuditLog, Event, Job
from db.repositories.contacts import Clause, among, live, until

BATCH = 500
QUEUE = "bulk"


async def tag_many(work: Work, form: BulkTagForm) -> BulkJob:
    """Makes the job that adds a tag to contacts or removes it. Raises `Invalid`."""
    chosen = await _chosen(work, form)
    total = await _total(work, chosen)
    tag_id, name = await ensured_tag(work, form.tag)
    args = chosen | {"tag_id": str(tag_id), "tag": name, "operation": form.operation}
    return await _made(work, "bulk.tag", args, total)


async def delete_many(work: Work, form: BulkForm) -> BulkJob:
    """Makes the job that deletes contacts so that they can be restored. Raises `Invalid`."""
    chosen = await _chosen(work, form)
    return await _made(work, "bulk.delete", chosen, await _total(work, chosen))


async def _made(work: Work, task: str, args: Mapping[str, Any], total: int) -> BulkJob:
    job_id = work.add_job(QUEUE, task, args, total=total)
    shown = {key: value for key, value in args.items() if key != "ids" and value}
    work.audit(f"{task}.started", "job", job_id, {key: [None, value] for key, value in shown.items()})
    await work.commit()
    return BulkJob(job_id, total, f"/jobs/{job_id}")


async def _chosen(work: Work, form: BulkForm) -> dict[str, Any]:
    if form.all:
        q = clean_search(form.q)
        read_filter(form.f, form.match, await work.fields.catalogue(), await work.tags.names())
        return {"q": q, "f": form.f, "match": form.match}
    ids = sorted({str(one) for one in (*form.ids, *form.id)})
    if not ids:
        raise Invalid({"ids": "Choose contacts in the list first, or all that match."})
    return {"ids": ids}


async def _total(work: Work, chosen: Mapping[str, Any]) -> int:
    total = await work.contacts.total(await _set(work, chosen), most=1_000_000)
    if total == 0:
        raise Invalid({"ids": "None of these contacts is there any more."})
    return total


async def _set(work: Work, args: Mapping[str, Any], job: Job | None = None) -> Clause:
    """The contacts of a job. A walk takes those that were there when it was asked for, and days are those
    of that moment, so that it ends and means what its author saw."""
    if "ids" in args:
        return live() & among([UUID(one) for one in args["ids"]])
    zone = ZoneInfo((await work.accounts.own()).time_zone)
    fields, tags = await work.fields.catalogue(), await work.tags.names()
    group = read_filter(args["f"], args["match"], fields, tags)
    found = condition(group, args["q"], fields, zone, job.created_at if job else work.now)
    return found & until(job.created_at) if job else found


async def run_bulk_tag(work: Work, job: Job) -> bool:
    """The next batch of a job that tags; True when it was the last one."""
    tag_id, name, adds = UUID(job.args["tag_id"]), job.args["tag"], job.args["operation"] == "add"

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        if await work.tags.one(tag_id) is None:
            return []
        return await (work.contacts.tag(ids, tag_id) if adds else work.contacts.untag(ids, tag_id))

    changes = {"tag": [None, name] if adds else [name, None]}
    kind = "tag.added" if adds else "tag.removed"
    return await _batch(work, job, change, kind, {"tag_id": str(tag_id)}, changes)


async def run_bulk_delete(work: Work, job: Job) -> bool:
    """The next batch of a job that deletes; True when it was the last one."""

    async def change(ids: Sequence[UUID]) -> list[UUID]:
        return await work.contacts.mark_deleted(ids, work.now)

    return await _batch(work, job, change, "contact.deleted", {}, {"deleted": [False, True]})


async def _batch(
    work: Work,
    job: Job,
    change: Callable[[Sequence[UUID]], Awaitable[list[UUID]]],
    kind: str,
    data: Mapping[str, Any],
    changes: Mapping[str, Any],
) -> bool:
    """One batch and the place where the walk goes on are one transaction: a kill loses or repeats nothing."""
    mine = (Job.account_id == work.account_id, Job.id == job.id)
    stored = await work.session.scalar(select(Job.result).where(*mine).with_for_update())
    result = dict(stored or {})
    after = UUID(result["cursor"]) if "cursor" in result else None
    ids = await work.contacts.batch(await _set(work, job.args, job), after, BATCH)
    changed = await change(ids) if ids else []
    await _note(work, changed, kind, data, changes)
    result["changed"] = result.get("changed", 0) + len(changed)
    if ids:
        result["cursor"] = str(ids[-1])
    last = len(ids) < BATCH
    progress = Job.total if last else Job.progress + len(ids)
    await work.session.execute(
        update(Job)
        .where(*mine)
        .values(progress=progress, result=result)
        .execution_options(synchronize_session=False)
    )
    if changed:
        work.ring()
    await work.commit()
    return last


async def _note(
    work: Work, ids: Sequence[UUID], kind: str, data: Mapping[str, Any], changes: Mapping[str, Any]
) -> None:
    """One event and one audit row for each contact that was changed."""
    if not ids:
        return
    events, lines = [], []
    for contact_id in ids:
        event_id = uuid7()
        shared = {"account_id": work.account_id, "occurred_at": work.now}
        event = {"id": event_id, "root_event_id": event_id, "kind": kind, "subject_id": contact_id}
        events.append(shared | event | {"source": "bulk", "data": dict(data)})
        actor = {
            "actor_kind": work.actor.kind,
            "actor_id": work.actor.id,
            "actor_name": work.actor.name,
        }
        line = {"id": uuid7(), "action": kind, "subject_kind": "contact", "subject_id": str(contact_id)}
        lines.append(shared | actor | line | {"changes": dict(changes)})
    await work.session.execute(insert(Event), events)
    await work.session.execute(insert(AuditLog), lines)
