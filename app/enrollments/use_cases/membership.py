"""Adds contacts by hand and removes enrollments. Each command locks the enrollment, decides, and writes an
audit entry."""

from collections.abc import Sequence
from uuid import UUID

from app.email_addresses import normalize_email
from app.engine.advancing.changeset import ChangeSet
from app.engine.advancing.loader import state_of
from app.engine.core.advance import leave
from app.engine.core.events import MANUAL
from app.engine.core.triggers import Manual
from app.engine.core.types import ExitReason, Status
from app.errors import Conflict, Invalid, NotFound
from app.work import Work
from db.ids import uuid7
from db.models import Enrollment as Row
from db.queries.contact_pages import find_contact_by_email, find_live_contacts
from db.queries.counters import Place
from db.queries.new_events import NewEvent, insert_events

NOT_LIVE = "This enrollment has already ended."
UNDER_WAY = {
    "claimed": "A message is being sent for this enrollment right now. Try again in a minute.",
    "unknown": "We can't tell whether this was sent. Mark it as sent or not sent first.",
}


async def contact_named(work: Work, text: str) -> UUID:
    """The contact with this id or email address. Raises `Invalid`."""
    text, contact_id = text.strip(), None
    try:
        contact_id = next(iter(await find_live_contacts(work.session, [UUID(text)])), None)
    except ValueError:
        if address := normalize_email(text):
            contact_id = await find_contact_by_email(work.session, address)
    if contact_id is None:
        raise Invalid({"contact": "Enter the email address or ID of a contact in this account."})
    return contact_id


async def enroll_contacts(work: Work, workflow_id: UUID, contact_ids: Sequence[UUID]) -> int:
    """Requests that contacts enter a workflow; the matcher decides on each, as for any event. Returns the
    number of requests. Raises `NotFound`, `Invalid`, `Conflict` (paused, or no trigger accepts manual
    entries)."""
    workflow = await work.workflows.header(workflow_id)
    if workflow is None:
        raise NotFound("workflow")
    if workflow.status != "active" or workflow.live_version is None:
        raise Conflict("This workflow isn't accepting contacts. Publish or resume it.")
    version = await work.versions.load(workflow_id, workflow.live_version)
    if version is None or not any(isinstance(trigger, Manual) for trigger in version.triggers):
        raise Conflict("Contacts can't be enrolled here. Add the trigger “Enrolled manually” and publish.")
    requested_ids = list(dict.fromkeys(contact_ids))
    existing_ids = set(await find_live_contacts(work.session, requested_ids)) if requested_ids else set()
    if not requested_ids or len(existing_ids) < len(requested_ids):
        raise Invalid(
            {"contact_ids": "Choose at least one contact, and only existing contacts of this account."}
        )
    source = "api" if work.actor.kind == "token" else "bulk" if len(requested_ids) > 1 else "user"
    events = [_request(contact, workflow_id, source) for contact in requested_ids]
    await insert_events(work.session, events, work.now)
    work.audit("enrollment.requested", "workflow", workflow_id, {"contacts": (None, len(requested_ids))})
    work.notify_worker("match")
    await work.commit()
    return len(requested_ids)


def _request(contact_id: UUID, workflow_id: UUID, source: str) -> NewEvent:
    event_id = uuid7()
    return NewEvent(event_id, MANUAL, contact_id, source, {"workflow_id": str(workflow_id)}, event_id)


async def locked_row(work: Work, enrollment_id: UUID) -> Row:
    """One enrollment, locked until the transaction ends, so that the engine leaves it alone. Raises
    `NotFound`."""
    row = await work.enrollments.lock(enrollment_id)
    if row is None:
        raise NotFound("enrollment")
    return row


def place_of(row: Row) -> Place:
    """Where the enrollment counts now."""
    return row.workflow_id, row.version, row.step_key, row.status


async def remove_enrollment(work: Work, enrollment_id: UUID) -> None:
    """Removes the enrollment from its workflow and cancels effects that were not sent. Raises `NotFound`,
    `Conflict` (ended)."""
    row = await locked_row(work, enrollment_id)
    if row.status != "active":
        raise Conflict(NOT_LIVE)
    changes = ChangeSet()
    changes.add(row, leave(state_of(row), work.now, Status.EXITED, ExitReason.REMOVED_BY_USER))
    await changes.write(work)
    work.audit("enrollment.removed", "enrollment", row.id, {"status": ("active", "exited")})
    await work.commit()


async def refuse_under_way(work: Work, ids: Sequence[UUID]) -> None:
    """Raises `Conflict` when an effect of these (locked) enrollments may be in flight now."""
    under_way = await work.effects.lock_under_way(ids)
    if under_way:
        raise Conflict(UNDER_WAY[under_way[0].status], current={"status": under_way[0].status})


async def refuse_twice(work: Work, row: Row) -> None:
    """Raises `Conflict` when the contact has entered the workflow again meanwhile, with the same key."""
    if await work.enrollments.is_in(row.workflow_id, row.contact_id, row.entry_key):
        raise Conflict("The contact is already in this workflow with another enrollment.")
