"""Jobs of the demo: finished ones, one that waits, one that failed, and the import that created some of the
contacts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Import, ImportRow, Job
from db.seeds.contacts import SampleContact, tag_id
from db.seeds.sample_text import IMPORT, JOB, fixed

ACCOUNT = 1
HEADER = ["first_name", "last_name", "email", "city", "state"]
ROWS = 120


async def write_jobs(session: AsyncSession, contacts: Sequence[SampleContact], now: datetime) -> None:
    """Writes jobs of the last two days, in the name of the account's operator."""
    await _import(session, contacts[-ROWS:], now - timedelta(days=2))
    common = {
        "account_id": session.info["account_id"],
        "actor_kind": "member",
        "actor_id": "",
        "actor_name": "Otto Operator",
    }
    rows = [common | row for row in (*_done(contacts, now), *_not_done(contacts, now))]
    await session.execute(insert(Job), rows)


def _row(number: int, task: str, at: datetime, seconds: float, **more: Any) -> dict[str, Any]:
    return {
        "id": fixed(JOB, number),
        "queue": task.partition(".")[0],
        "task": task,
        "created_at": at,
        "due_at": at,
        "started_at": at + timedelta(seconds=0.2),
        "finished_at": at + timedelta(seconds=0.2 + seconds),
        "status": "done",
        "attempts": 1,
        "args": {},
        "result": None,
        "error": None,
        **more,
    }


def _tagging(contacts: Sequence[SampleContact], name: str) -> dict[str, Any]:
    ids = sorted(str(contact.id) for contact in contacts)
    return {"ids": ids, "tag_id": str(tag_id(ACCOUNT, name)), "tag": name, "operation": "add"}


def _done(contacts: Sequence[SampleContact], now: datetime) -> list[dict[str, Any]]:
    import_args = {"import_id": str(fixed(IMPORT))}
    at = now - timedelta(days=2)
    tagged = [contact for contact in contacts if "newsletter" in contact.tags][:160]
    return [
        _row(0, "import.check", at, 0.6, args=import_args, total=ROWS, progress=ROWS),
        _row(1, "import.run", at + timedelta(minutes=3), 1.4, args=import_args, total=ROWS, progress=ROWS),
        _row(2, "bulk.tag", now - timedelta(hours=30), 0.9, args=_tagging(tagged, "newsletter"),
             total=len(tagged), progress=len(tagged)),
    ]  # fmt: skip


def _not_done(contacts: Sequence[SampleContact], now: datetime) -> list[dict[str, Any]]:
    partners = [contact for contact in contacts if "partner" in contact.tags]
    guests = [contact for contact in contacts if "event 2026" in contact.tags]
    return [
        _row(3, "bulk.tag", now - timedelta(hours=7), 12.0, args=_tagging(partners, "partner"),
             total=len(partners), progress=0, status="failed", attempts=5,
             error="The database closed the connection five times while contacts were tagged."),
        _row(4, "bulk.tag", now - timedelta(hours=1), 0, args=_tagging(guests, "event 2026"),
             total=len(guests), progress=0, status="queued", attempts=2, finished_at=None,
             due_at=now + timedelta(days=1),
             error="Waiting for the next attempt: someone else was changing these contacts."),
    ]  # fmt: skip


async def _import(session: AsyncSession, contacts: Sequence[SampleContact], at: datetime) -> None:
    cells = [[contact.columns[name] or "" for name in HEADER] for contact in contacts]
    lines = [",".join(HEADER), *(",".join(row) for row in cells)]
    account = {"account_id": session.info["account_id"]}
    await session.execute(
        insert(Import).values(
            **account, id=fixed(IMPORT), filename="fair-visitors.csv", status="done", encoding="utf-8",
            content=("\n".join(lines) + "\n").encode(), delimiter=",", header=HEADER,
            mapping={name: name for name in HEADER}, options={}, rows_total=ROWS, rows_checked=ROWS,
            rows_new=ROWS, applied=ROWS, job_id=fixed(JOB, 1), created_by="Otto Operator", created_at=at,
            finished_at=at + timedelta(minutes=4),
        )
    )  # fmt: skip
    rows = [
        account
        | {
            "import_id": fixed(IMPORT), "line": number, "cells": row, "verdict": "new",
            "values": dict(zip(HEADER, row, strict=True)), "contact_id": contact.id,
            "applied_at": at + timedelta(minutes=4),
        }
        for number, (row, contact) in enumerate(zip(cells, contacts, strict=True), start=2)
    ]  # fmt: skip
    await session.execute(insert(ImportRow), rows)
