"""Jobs of the demo: finished ones, one that waits, one that failed, and the import that created some of the
contacts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from app.json_types import Json, JsonObject
from db.models import Import, ImportRow, Job
from db.seeds.contacts import SampleContact, tag_id
from db.seeds.sample_text import IMPORT, JOB, fixed

ACCOUNT = 1
HEADER = ["first_name", "last_name", "email", "city", "state"]
ROWS = 120


async def write_jobs(session: AsyncSession, contacts: Sequence[SampleContact], now: datetime) -> None:
    """Writes jobs of the last two days, in the name of the account's operator."""
    await _import(session, contacts[-ROWS:], now - timedelta(days=2))
    session.add_all([*_done(contacts, now), *_not_done(contacts, now)])
    await session.flush()


def _job(number: int, task: str, at: datetime, seconds: float, args: JsonObject, total: int) -> Job:
    """A job that is done."""
    return Job(
        id=fixed(JOB, number), queue=task.partition(".")[0], task=task, args=args, total=total,
        progress=total, created_at=at, due_at=at, started_at=at + timedelta(seconds=0.2),
        finished_at=at + timedelta(seconds=0.2 + seconds), status="done", attempts=1,
        actor_kind="member", actor_id="", actor_name="Otto Operator",
    )  # fmt: skip


def _tagging(contacts: Sequence[SampleContact], name: str) -> JsonObject:
    ids: list[Json] = [*sorted(str(contact.id) for contact in contacts)]
    return {"ids": ids, "tag_id": str(tag_id(ACCOUNT, name)), "tag": name, "operation": "add"}


def _done(contacts: Sequence[SampleContact], now: datetime) -> list[Job]:
    import_args: JsonObject = {"import_id": str(fixed(IMPORT))}
    at = now - timedelta(days=2)
    tagged = [contact for contact in contacts if "newsletter" in contact.tags][:160]
    return [
        _job(0, "import.check", at, 0.6, import_args, ROWS),
        _job(1, "import.run", at + timedelta(minutes=3), 1.4, import_args, ROWS),
        _job(
            2, "bulk.tag", now - timedelta(hours=30), 0.9, _tagging(tagged, "newsletter"), len(tagged)
        ),
    ]  # fmt: skip


def _not_done(contacts: Sequence[SampleContact], now: datetime) -> list[Job]:
    partners = [contact for contact in contacts if "partner" in contact.tags]
    guests = [contact for contact in contacts if "event 2026" in contact.tags]
    failed = _job(3, "bulk.tag", now - timedelta(hours=7), 12.0, _tagging(partners, "partner"), len(partners))
    failed.progress, failed.status, failed.attempts = 0, "failed", 5
    failed.error = "The database closed the connection five times while contacts were tagged."
    queued = _job(4, "bulk.tag", now - timedelta(hours=1), 0, _tagging(guests, "event 2026"), len(guests))
    queued.progress, queued.status, queued.attempts, queued.finished_at = 0, "queued", 2, None
    queued.due_at = now + timedelta(days=1)
    queued.error = "Waiting for the next attempt: someone else was changing these contacts."
    return [failed, queued]


async def _import(session: AsyncSession, contacts: Sequence[SampleContact], at: datetime) -> None:
    cells = [[contact.columns[name] or "" for name in HEADER] for contact in contacts]
    lines = [",".join(HEADER), *(",".join(row) for row in cells)]
    session.add(
        Import(
            id=fixed(IMPORT), filename="fair-visitors.csv", status="done", encoding="utf-8",
            content=("\n".join(lines) + "\n").encode(), delimiter=",", header=HEADER,
            mapping={name: name for name in HEADER}, options={}, rows_total=ROWS, rows_checked=ROWS,
            rows_new=ROWS, applied=ROWS, job_id=fixed(JOB, 1), created_by="Otto Operator", created_at=at,
            finished_at=at + timedelta(minutes=4),
        )
    )  # fmt: skip
    await session.flush()
    session.add_all(
        ImportRow(
            import_id=fixed(IMPORT), line=number, cells=row, verdict="new",
            values=dict(zip(HEADER, row, strict=True)), contact_id=contact.id,
            applied_at=at + timedelta(minutes=4),
        )
        for number, (row, contact) in enumerate(zip(cells, contacts, strict=True), start=2)
    )  # fmt: skip
    await session.flush()
