"""Bulk edits by members: one change of many contacts with one statement. The caller holds the locks of the
rows (`lock_next_contacts`) and writes their audit entries (`contact_audit`). What steps of workflows change
is written by `contact_batches`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Contact
from db.queries.contact_conditions import Clause
from db.queries.statements import execute, fetch_all, fetch_scalars

ConsentField: TypeAlias = Literal["email_consent", "sms_consent"]


class PreviousConsent(msgspec.Struct, frozen=True):
    """A contact and the consent that it had."""

    id: UUID
    consent: str


_ADD_TAG = text("""
insert into contact_tags (contact_id, tag_id)
select contact_id, :tag_id from unnest(cast(:contact_ids as uuid[])) as contact_id
on conflict do nothing returning contact_id
""")
_REMOVE_TAG = text("""
delete from contact_tags
 where account_id = current_account() and tag_id = :tag_id and contact_id = any(cast(:contact_ids as uuid[]))
returning contact_id
""")
_RESTORE = text("""
with deleted as (
  select id, email, other_emails, external_id, deleted_at,
         row_number() over (partition by coalesce(external_id, id::text)
                            order by deleted_at desc, id) as nth_id
    from contacts
   where account_id = current_account() and deleted_at is not null
     and id = any(cast(:contact_ids as uuid[]))),
emails as (
  select d.id, e.email, row_number() over (partition by e.email order by d.deleted_at desc, d.id) as nth
    from deleted d cross join lateral emails_of(d.email, d.other_emails) e(email)),
taken as (
  select e.id from emails e
   where e.nth > 1 or exists (select from contact_emails o
                               where o.account_id = current_account() and o.email = e.email))
update contacts c
   set deleted_at = null, deletion_job_id = null, updated_at = cast(:now as timestamptz), rev = c.rev + 1
  from deleted d
 where c.account_id = current_account() and c.id = d.id and d.nth_id = 1
   and not exists (select from taken t where t.id = d.id)
   and not exists (select from contacts o where o.account_id = current_account() and o.deleted_at is null
                                             and o.external_id = d.external_id)
returning c.id
""")


async def lock_next_contacts(
    session: AsyncSession, condition: Clause, after: UUID | None, limit: int
) -> list[UUID]:
    """The next ids of a walk over a set, in order; the rows stay locked until the transaction ends."""
    query = select(Contact.id).where(Contact.account_id == session.info["account_id"], condition)
    query = query.where(Contact.id > after) if after is not None else query
    query = query.order_by(Contact.id).limit(limit).with_for_update(of=Contact)
    return await fetch_scalars(session, UUID, query)


async def add_tag_to_contacts(session: AsyncSession, contact_ids: Sequence[UUID], tag_id: UUID) -> list[UUID]:
    """Adds a tag to contacts; returns those that didn't have it."""
    return await fetch_scalars(session, UUID, _ADD_TAG, contact_ids=contact_ids, tag_id=tag_id)


async def remove_tag_from_contacts(
    session: AsyncSession, contact_ids: Sequence[UUID], tag_id: UUID
) -> list[UUID]:
    """Removes a tag from contacts; returns those that had it."""
    return await fetch_scalars(session, UUID, _REMOVE_TAG, contact_ids=contact_ids, tag_id=tag_id)


async def set_consent_of_contacts(
    session: AsyncSession, contact_ids: Sequence[UUID], field: ConsentField, state: str, now: datetime
) -> dict[UUID, str]:
    """Sets a consent of contacts; returns the previous value by id for each that changed."""
    mine = Contact.account_id == session.info["account_id"]
    column: InstrumentedAttribute[str] = getattr(Contact, field)
    query = select(Contact.id, column.label("consent"))
    changing = query.where(mine, Contact.id.in_(contact_ids), column != state)
    before = {row.id: row.consent for row in await fetch_all(session, PreviousConsent, changing)}
    values = {field: state, "rev": Contact.rev + 1, "updated_at": now}
    await execute(session, update(Contact).where(mine, Contact.id.in_(list(before))).values(values))
    return before


async def delete_contacts_by_job(
    session: AsyncSession, contact_ids: Sequence[UUID], now: datetime, job_id: UUID
) -> list[UUID]:
    """Soft-deletes live contacts in the name of a job; returns those that were live."""
    deletion = (
        update(Contact)
        .where(
            Contact.account_id == session.info["account_id"],
            Contact.id.in_(contact_ids),
            Contact.deleted_at.is_(None),
        )
        .values(deleted_at=now, deletion_job_id=job_id, updated_at=now, rev=Contact.rev + 1)
        .returning(Contact.id)
    )
    return await fetch_scalars(session, UUID, deletion)


async def restore_contacts(session: AsyncSession, contact_ids: Sequence[UUID], now: datetime) -> list[UUID]:
    """Restores deleted contacts whose email address and external ID no live contact has; of several with the
    same one, the latest deleted. Returns the ids of those that were restored."""
    return await fetch_scalars(session, UUID, _RESTORE, contact_ids=contact_ids, now=now)
