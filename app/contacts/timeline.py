"""The timeline of a contact: changes, visits of steps, messages, notes and tasks as one list in pages."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from app.audit.pages import changes_of
from app.contacts.domain import name_of
from app.contacts.schemas import NamedContact, Timeline, TimelineEntry
from app.engine.core.steps import KINDS as STEPS
from app.errors import Invalid, NotFound
from app.web.formatting import words
from app.web.paging import MISPLACED, check_page, has_utc, read_cursor, write_cursor
from app.work import Work
from db.queries.contact_pages import find_contact
from db.queries.timeline import KINDS, Place, StoredEntry, TimelineKind, fetch_timeline

PAGE_SIZE = 50
LABELS: Mapping[str, str] = {
    "": "All", "change": "Changes", "step": "Steps", "message": "Messages", "note": "Notes", "task": "Tasks",
}  # fmt: skip
MESSAGES = {"email": "Email", "sms": "SMS", "chat": "Chat message"}
LARGEST_SEQ = 2**31 - 1


async def timeline_page(
    work: Work, contact_id: UUID, kind: str, after: str, before: str, limit: int | None
) -> Timeline:
    """A page of the timeline. Raises `NotFound`, and `Invalid` for an unknown kind, cursor or size."""
    chosen = next((name for name in KINDS if name == kind), None)
    if kind and chosen is None:
        raise Invalid({"kind": f"“kind” must be one of {', '.join(KINDS)}."})
    check_page(limit, after, before, "entries")
    contact = await find_contact(work.session, contact_id)
    if contact is None:
        raise NotFound("contact")
    rows, more = await fetch_timeline(
        work.session, contact_id, chosen,
        after=_place(after, "after") if after else None,
        before=_place(before, "before") if before else None,
        limit=limit or PAGE_SIZE,
    )  # fmt: skip
    fields = await work.fields.catalog()
    query = {"kind": kind, "limit": str(limit or "")}
    has_next, has_previous = (True, more) if before else (more, bool(after))
    return Timeline(
        entries_of(rows),
        NamedContact(contact_id, name_of(contact)),
        kind,
        kind_links(contact_id, kind),
        timeline_href(contact_id, **query, after=_cursor(rows[-1])) if rows and has_next else "",
        timeline_href(contact_id, **query, before=_cursor(rows[0])) if rows and has_previous else "",
        {spec.key: spec.label for spec in fields.values()},
    )


async def first_entries(work: Work, contact: NamedContact, labels: dict[str, str], size: int) -> Timeline:
    """The newest entries, for the contact's own page."""
    rows, more = await fetch_timeline(work.session, contact.id, limit=size)
    older = timeline_href(contact.id, after=_cursor(rows[-1])) if more else ""
    return Timeline(entries_of(rows), contact, "", kind_links(contact.id, ""), older, "", labels)


def entries_of(rows: Sequence[StoredEntry]) -> list[TimelineEntry]:
    """The entries as the page shows them."""
    return [
        TimelineEntry(
            row.at, row.id, row.kind, _title(row.kind, row.name), row.text, row.state, row.actor_kind,
            row.actor_name, list(changes_of(row.changes or {})), _href(row.kind, row.target),
        )
        for row in rows
    ]  # fmt: skip


def kind_links(contact_id: UUID, kind: str) -> list[tuple[str, str, bool]]:
    """The kinds to choose from: label, URL, and whether it is shown."""
    return [(label, timeline_href(contact_id, kind=key), key == kind) for key, label in LABELS.items()]


def timeline_href(contact_id: UUID, **query: str) -> str:
    """The URL of a page of the timeline."""
    sent = urlencode({name: value for name, value in query.items() if value})
    return f"/contacts/{contact_id}/timeline" + (f"?{sent}" if sent else "")


def _title(kind: TimelineKind, name: str) -> str:
    if kind == "step":
        return STEPS[name].label if name in STEPS else words(name)
    if kind == "message":
        return MESSAGES.get(name, words(name))
    return words(name) if name else kind.capitalize()


def _href(kind: TimelineKind, target: UUID | None) -> str:
    if target is None:
        return ""
    return {"note": f"/notes/{target}", "task": f"/tasks/{target}"}.get(kind, f"/enrollments/{target}")


def _cursor(row: StoredEntry) -> str:
    return write_cursor(f"{row.at.isoformat()}/{row.seq}", row.id)


def _place(cursor: str, parameter: str) -> Place:
    value, row_id = read_cursor(cursor, str, parameter)
    moment, _, seq = value.rpartition("/")
    try:
        at, number = datetime.fromisoformat(moment), int(seq)
    except ValueError:
        raise Invalid({parameter: MISPLACED}) from None
    if not has_utc(at) or not 0 <= number <= LARGEST_SEQ:
        raise Invalid({parameter: MISPLACED})
    return at, row_id, number
