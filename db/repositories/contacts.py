"""Reads and writes contacts. Reads return rows of columns, never entities."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, insert, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import JSONB

from app.filters.fields import TEXT_FIELDS
from db.ids import uuid7
from db.models import Contact, ContactTag, Enrollment, Tag, User, Workflow
from db.tenancy import TenantRepository

Clause = ColumnElement[bool]
MOST_COUNTED = 10_000
TAGS = func.coalesce(
    select(
        func.jsonb_agg(
            # Sorted by name, as on every screen.
            text("jsonb_build_object('id', tags.id, 'name', tags.name) order by tags.slug")
        )
    )
    .select_from(ContactTag)
    .join(Tag, and_(Tag.account_id == ContactTag.account_id, Tag.id == ContactTag.tag_id))
    .where(ContactTag.account_id == Contact.account_id, ContactTag.contact_id == Contact.id)
    .correlate(Contact)
    .scalar_subquery(),
    text("'[]'::jsonb"),
    type_=JSONB,
).label("tags")
OWNER_NAME = func.coalesce(
    select(User.name).where(User.id == Contact.owner_id).correlate(Contact).scalar_subquery(), ""
).label("owner_name")
SELECT_CONTACT = select(
    Contact.id,
    *(getattr(Contact, name) for name in TEXT_FIELDS),
    Contact.owner_id.label("owner"),
    OWNER_NAME,
    Contact.email_consent,
    Contact.sms_consent,
    Contact.fields,
    Contact.rev,
    Contact.created_at,
    Contact.updated_at,
    Contact.deleted_at,
    TAGS,
)


def _folded(column: Any) -> ColumnElement[str]:
    return func.lower(func.coalesce(column, ""))


SORTS: dict[str, ColumnElement[Any]] = {
    "name": func.lower(func.coalesce(Contact.last_name, "") + " " + func.coalesce(Contact.first_name, "")),
    "email": _folded(Contact.email),
    "company": _folded(Contact.company),
    "city": _folded(Contact.city),
    "state": _folded(Contact.state),
    "created_at": Contact.created_at,  # type: ignore[dict-item]  # -- a mapped column is an expression
    "updated_at": Contact.updated_at,  # type: ignore[dict-item]  # -- same
}


def matches_search(q: str) -> Clause:
    """Every word of `q` occurs in a name, the email address, the company or the phone number."""
    return and_(
        literal(True), *(func.strpos(Contact.search, func.lower(word)) > 0 for word in q.split()[:10])
    )


class ContactRepository(TenantRepository[Contact]):
    model_type = Contact

    def _own(self, query: Any) -> Any:
        return query.where(Contact.account_id == self.account_id)

    async def page(
        self,
        condition: Clause,
        sort: str,
        *,
        descending: bool = False,
        cursor: tuple[Any, UUID] | None = None,
        backwards: bool = False,
        limit: int = 50,
    ) -> tuple[list[Any], bool]:
        """At most `limit` rows that come after `cursor` (its sort value and id; before it when
        `backwards`), and whether there are more in that direction. Each row has `sort_value`; ties are in
        the order of ids."""
        value = SORTS[sort]
        down = descending != backwards
        query = self._own(SELECT_CONTACT.add_columns(value.label("sort_value"))).where(condition)
        if cursor is not None:
            place, edge = tuple_(value, Contact.id), tuple_(literal(cursor[0]), literal(cursor[1]))
            query = query.where(place < edge if down else place > edge)
        order = (value.desc(), Contact.id.desc()) if down else (value, Contact.id)
        rows = list((await self.session.execute(query.order_by(*order).limit(limit + 1))).all())
        page_rows, more = rows[:limit], len(rows) > limit
        return (page_rows[::-1] if backwards else page_rows), more

    async def total(self, condition: Clause, most: int = MOST_COUNTED) -> int:
        """The number of contacts, counted up to one more than `most`."""
        some = self._own(select(literal(1)).select_from(Contact)).where(condition).limit(most + 1).subquery()
        return int(await self.session.scalar(select(func.count()).select_from(some)) or 0)

    async def row(self, contact_id: UUID, *, lock: bool = False) -> Any | None:
        """One contact with its tags, deleted or not, else None. `lock` locks the row until the transaction
        ends."""
        query = self._own(SELECT_CONTACT).where(Contact.id == contact_id)
        if lock:
            query = query.with_for_update(of=Contact)
        return (await self.session.execute(query)).one_or_none()

    async def owner_of(self, key: str, value: str, but: UUID | None) -> Any | None:
        """The live contact that has this email address or external ID: id, names, company, email."""
        query = self._own(
            select(Contact.id, Contact.first_name, Contact.last_name, Contact.company, Contact.email)
        ).where(getattr(Contact, key) == value, Contact.deleted_at.is_(None))
        query = query.where(Contact.id != but) if but is not None else query
        return (await self.session.execute(query.limit(1))).one_or_none()

    async def insert(self, columns: Mapping[str, Any], fields: Mapping[str, Any], now: datetime) -> UUID:
        """Inserts a contact; returns its id."""
        contact_id = uuid7()
        await self.session.execute(
            insert(Contact).values(
                id=contact_id,
                account_id=self.account_id,
                fields=dict(fields),
                created_at=now,
                updated_at=now,
                **columns,
            )
        )
        return contact_id

    async def change(self, contact_id: UUID, columns: Mapping[str, Any], now: datetime) -> None:
        """Updates columns and increments the revision."""
        await self.session.execute(
            update(Contact)
            .where(Contact.account_id == self.account_id, Contact.id == contact_id)
            .values(**columns, rev=Contact.rev + 1, updated_at=now)
        )

    async def tag(self, contact_ids: Sequence[UUID], tag_id: UUID) -> list[UUID]:
        """Adds a tag to contacts; returns those that didn't have it."""
        added = await self.session.scalars(INSERT_CONTACT_TAG, self._many(contact_ids, tag_id))
        return list(added.all())

    async def untag(self, contact_ids: Sequence[UUID], tag_id: UUID) -> list[UUID]:
        """Removes a tag from contacts; returns those that had it."""
        removed = await self.session.scalars(DELETE_CONTACT_TAG, self._many(contact_ids, tag_id))
        return list(removed.all())

    def _many(self, contact_ids: Sequence[UUID], tag_id: UUID) -> dict[str, Any]:
        return {"account": self.account_id, "contacts": list(contact_ids), "tag": tag_id}

    async def batch(self, condition: Clause, after: UUID | None, limit: int) -> list[UUID]:
        """The next ids of a walk over a set, in order; the rows stay locked until the transaction ends."""
        query = self._own(select(Contact.id)).where(condition)
        query = query.where(Contact.id > after) if after is not None else query
        query = query.order_by(Contact.id).limit(limit).with_for_update(of=Contact)
        return list((await self.session.scalars(query)).all())

    async def set_consent(
        self, contact_ids: Sequence[UUID], field: str, state: str, now: datetime
    ) -> dict[UUID, str]:
        """Sets `email_consent` or `sms_consent` of contacts; returns the previous value by id for each that
        changed. The caller holds the locks of the rows."""
        column = getattr(Contact, field)
        query = self._own(select(Contact.id, column)).where(Contact.id.in_(contact_ids), column != state)
        before: dict[UUID, str] = {row.id: row[1] for row in await self.session.execute(query)}
        await self.session.execute(
            update(Contact)
            .where(Contact.account_id == self.account_id, Contact.id.in_(list(before)))
            .values(**{field: state}, rev=Contact.rev + 1, updated_at=now)
        )
        return before

    async def mark_deleted(
        self, contact_ids: Sequence[UUID], now: datetime, job_id: UUID | None = None
    ) -> list[UUID]:
        """Soft-deletes live contacts, in the name of a job if one does it; returns those that were live."""
        gone = await self.session.scalars(
            update(Contact)
            .where(
                Contact.account_id == self.account_id,
                Contact.id.in_(contact_ids),
                Contact.deleted_at.is_(None),
            )
            .values(deleted_at=now, deletion_job_id=job_id, updated_at=now, rev=Contact.rev + 1)
            .returning(Contact.id)
        )
        return list(gone.all())

    async def mark_restored(self, contact_ids: Sequence[UUID], now: datetime) -> list[UUID]:
        """Restores deleted contacts whose email address and external ID no live contact has; of several with
        the same one, the latest deleted. Returns the ids of those that were restored."""
        values = {"contacts": list(contact_ids), "now": now, "account": self.account_id}
        return list((await self.session.scalars(RESTORE_CONTACTS, values)).all())

    async def count_deleted_by(self, job_id: UUID) -> int:
        """How many contacts a bulk deletion deleted that are still deleted."""
        query = self._own(select(func.count()).select_from(Contact)).where(deleted_by(job_id))
        return int(await self.session.scalar(query) or 0)

    async def enrollments(self, contact_id: UUID, limit: int = 20) -> Sequence[Any]:
        """The contact's enrollments, latest first: id, workflow_id, workflow, version, status, step,
        wait_until, entered_at, ended_at."""
        query = (
            select(
                Enrollment.id,
                Enrollment.workflow_id,
                Workflow.name.label("workflow"),
                Enrollment.version,
                Enrollment.status,
                Enrollment.step_key.label("step"),
                Enrollment.wait_until,
                Enrollment.entered_at,
                Enrollment.ended_at,
            )
            .join(
                Workflow,
                and_(Workflow.account_id == Enrollment.account_id, Workflow.id == Enrollment.workflow_id),
            )
            .where(Enrollment.account_id == self.account_id, Enrollment.contact_id == contact_id)
            .order_by(Enrollment.entered_at.desc(), Enrollment.id.desc())
            .limit(limit)
        )
        return (await self.session.execute(query)).all()


INSERT_CONTACT_TAG = text(
    "insert into contact_tags (account_id, contact_id, tag_id)"
    " select :account, contact_id, :tag from unnest(cast(:contacts as uuid[])) as contact_id"
    " on conflict do nothing returning contact_id"
)
DELETE_CONTACT_TAG = text(
    "delete from contact_tags where account_id = :account and tag_id = :tag"
    " and contact_id = any(cast(:contacts as uuid[])) returning contact_id"
)


RESTORE_CONTACTS = text("""
with asked as (
  select id, email, external_id,
         row_number() over (partition by coalesce(email, id::text)
                            order by deleted_at desc, id) as nth_email,
         row_number() over (partition by coalesce(external_id, id::text)
                            order by deleted_at desc, id) as nth_id
    from contacts
   where account_id = :account and id = any(cast(:contacts as uuid[])) and deleted_at is not null)
update contacts c
   set deleted_at = null, deletion_job_id = null, updated_at = cast(:now as timestamptz), rev = c.rev + 1
  from asked a
 where c.account_id = :account and c.id = a.id and a.nth_email = 1 and a.nth_id = 1
   and not exists (select from contacts o
                    where o.account_id = :account and o.deleted_at is null and o.email = a.email)
   and not exists (select from contacts o
                    where o.account_id = :account and o.deleted_at is null and o.external_id = a.external_id)
returning c.id
""")


def live_or_deleted(deleted: bool = False) -> Clause:
    """Contacts that aren't deleted, or with `deleted` those that are."""
    return Contact.deleted_at.is_not(None) if deleted else Contact.deleted_at.is_(None)


def in_ids(contact_ids: Sequence[UUID]) -> Clause:
    """Contacts with one of these ids."""
    return Contact.id.in_(contact_ids)


def created_until(moment: datetime) -> Clause:
    """Contacts that were created up to a moment."""
    return Contact.created_at <= moment


def deleted_until(moment: datetime) -> Clause:
    """Contacts that were deleted up to a moment."""
    return Contact.deleted_at <= moment


def deleted_by(job_id: UUID) -> Clause:
    """Contacts that a bulk deletion deleted and that are still deleted."""
    return and_(Contact.deletion_job_id == job_id, Contact.deleted_at.is_not(None))
