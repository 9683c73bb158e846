"""Conditions on contacts, to combine with one another and with a filter (`db.filters.where`). None of them
names the account: the statements that use them do."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_, true

from app.filters.search_text import patterns_of
from db.models import Contact

Clause: TypeAlias = ColumnElement[bool]
_COLUMNS = Contact.__table__.c  # attributes of the model would cost each statement its preparation by the ORM


def live_or_deleted(deleted: bool = False) -> Clause:
    """Contacts that aren't deleted, or with `deleted` those that are."""
    return _COLUMNS.deleted_at.is_not(None) if deleted else _COLUMNS.deleted_at.is_(None)


def matches_search(q: str) -> Clause:
    """Every word of `q` occurs in a name, an email address, the company, the city, the website, the external
    ID or a phone number."""
    return or_(
        false(),
        *(
            and_(true(), *(or_(*map(_COLUMNS.search.like, patterns)) for patterns in words))
            for words in patterns_of(q)
        ),
    )


def in_ids(contact_ids: Sequence[UUID]) -> Clause:
    """Contacts with one of these ids."""
    return _COLUMNS.id.in_(contact_ids)


def created_until(moment: datetime) -> Clause:
    """Contacts that were created up to a moment."""
    return _COLUMNS.created_at <= moment


def deleted_until(moment: datetime) -> Clause:
    """Contacts that were deleted up to a moment."""
    return _COLUMNS.deleted_at <= moment


def deleted_by(job_id: UUID) -> Clause:
    """Contacts that a bulk deletion deleted and that are still deleted."""
    return and_(_COLUMNS.deletion_job_id == job_id, _COLUMNS.deleted_at.is_not(None))
