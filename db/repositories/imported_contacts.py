"""Reads and writes the contacts of an import a batch at a time, each statement with arrays."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from app.filters.fields import TEXT_FIELDS
from db.ids import uuid7
from db.repositories.imports import as_text

CONSENTS = ("email_consent", "sms_consent")
COLUMNS = (*TEXT_FIELDS, *CONSENTS)
LIKENESS = (
    "concat_ws(E'\\x1f', coalesce(first_name, ''), coalesce(last_name, ''), coalesce(company, ''),"
    " coalesce(phone, ''))"
)


def _matching(condition: str, *, lock: bool) -> TextClause:
    return text(
        f"select c.id, c.fields, {', '.join(f'c.{name}' for name in COLUMNS)},"  # noqa: S608 -- constants only
        " array(select t.tag_id from contact_tags t where t.account_id = c.account_id"
        " and t.contact_id = c.id and t.tag_id = any(cast(:tags as uuid[]))) as tag_ids"
        f" from contacts c where c.account_id = :account and c.deleted_at is null and {condition}"
        f" order by c.id {'for update of c' if lock else ''}"
    )


BY_KEY = "(c.email = any(cast(:emails as text[])) or c.external_id = any(cast(:externals as text[])))"
BY_LIKENESS = f"{LIKENESS} = any(cast(:likes as text[]))"
SELECT_MATCHING = {
    (likes, lock): _matching(f"({BY_KEY} or {BY_LIKENESS})" if likes else BY_KEY, lock=lock)
    for likes in (False, True)
    for lock in (False, True)
}
_ARRAYS = ", ".join(f"cast(:{name} as text[])" for name in COLUMNS)
_NAMES = ", ".join(COLUMNS)
_FROM = f"unnest(cast(:ids as uuid[]), {_ARRAYS}, cast(:fields as text[])) as v(id, {_NAMES}, fields)"
_STATED = ", ".join(f"coalesce(v.{name}, 'unknown')" for name in CONSENTS)
INSERT_CONTACTS = text(
    f"insert into contacts (account_id, id, {_NAMES}, fields, created_at, updated_at)"  # noqa: S608 -- constants only
    f" select :account, v.id, {', '.join(f'v.{name}' for name in TEXT_FIELDS)},"
    f" {_STATED}, v.fields::jsonb,"
    f" cast(:now as timestamptz), cast(:now as timestamptz) from {_FROM} on conflict do nothing returning id"
)
_CONSENT_UPDATES = ", ".join(
    f"{name} = case when c.{name} = 'denied' then c.{name} else coalesce(v.{name}, c.{name}) end"
    for name in CONSENTS
)
_TEXT_UPDATES = ", ".join(f"{name} = coalesce(v.{name}, c.{name})" for name in TEXT_FIELDS)
UPDATE_CONTACTS = text(
    f"update contacts c set {_TEXT_UPDATES}, {_CONSENT_UPDATES},"  # noqa: S608 -- constants only
    f" fields = c.fields || v.fields::jsonb, rev = c.rev + 1, updated_at = :now from {_FROM}"
    " where c.account_id = :account and c.id = v.id"
)
INSERT_CONTACT_TAGS = text(
    "insert into contact_tags (account_id, contact_id, tag_id, created_at)"
    " select :account, p.contact_id, p.tag_id, cast(:now as timestamptz)"
    " from unnest(cast(:contacts as uuid[]), cast(:tags as uuid[])) as p(contact_id, tag_id)"
    " on conflict do nothing returning contact_id, tag_id"
)
INSERT_EVENTS = text(
    "insert into events (account_id, id, kind, subject_id, source, data, root_event_id, occurred_at)"
    " select :account, e.id, e.kind, e.subject_id, 'import', e.data::jsonb, e.id, cast(:now as timestamptz)"
    " from unnest(cast(:ids as uuid[]), cast(:kinds as text[]), cast(:subjects as uuid[]),"
    " cast(:data as text[])) as e(id, kind, subject_id, data)"
)
INSERT_AUDIT_ENTRIES = text(
    "insert into audit_logs (account_id, id, occurred_at, actor_kind, actor_id, actor_name, action,"
    " subject_kind, subject_id, changes)"
    " select :account, a.id, cast(:now as timestamptz), 'import', :import_id, :filename, a.action,"
    " 'contact', a.subject_id, a.changes::jsonb"
    " from unnest(cast(:ids as uuid[]), cast(:actions as text[]), cast(:subjects as text[]),"
    " cast(:changes as text[])) as a(id, action, subject_id, changes)"
)


class ImportedContactRepository:
    """Set-based reads and writes for one account and one moment."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self.session, self.now = session, now
        self.account_id: UUID = session.info["account_id"]

    async def matching(
        self,
        keys: Mapping[str, Sequence[str]],
        tag_ids: Iterable[UUID],
        *,
        lock: bool,
    ) -> Sequence[Any]:
        """Contacts that have one of these emails, external ids or other match keys (kind → values), oldest
        first, with those of the given tags that they have."""
        likes = list(keys.get("like", ()))
        values = {
            "account": self.account_id,
            "emails": list(keys.get("email", ())),
            "externals": list(keys.get("external_id", ())),
            "tags": list(tag_ids),
        }
        statement = SELECT_MATCHING[bool(likes), lock]
        return (await self.session.execute(statement, values | ({"likes": likes} if likes else {}))).all()

    async def insert(self, rows: Sequence[tuple[UUID, Mapping[str, Any]]]) -> set[UUID]:
        """Adds contacts: id and values by field key. Returns the ids that were added; the others have an
        email address or external ID that another contact just took."""
        if not rows:
            return set()
        return set((await self.session.scalars(INSERT_CONTACTS, self._columns(rows))).all())

    async def update(self, rows: Sequence[tuple[UUID, Mapping[str, Any]]]) -> None:
        """Sets these values and leaves all others; a denied consent stays denied."""
        if rows:
            await self.session.execute(UPDATE_CONTACTS, self._columns(rows))

    def _columns(self, rows: Sequence[tuple[UUID, Mapping[str, Any]]]) -> dict[str, Any]:
        columns: dict[str, Any] = {name: [values.get(name) for _, values in rows] for name in COLUMNS}
        own = [{k.removeprefix("custom."): v for k, v in vs.items() if k not in COLUMNS} for _, vs in rows]
        return columns | {
            "account": self.account_id,
            "now": self.now,
            "ids": [contact_id for contact_id, _ in rows],
            "fields": [as_text(fields) for fields in own],
        }

    async def tag(self, contact_ids: Sequence[UUID], tag_ids: Sequence[UUID]) -> list[tuple[UUID, UUID]]:
        """Gives every contact every tag; returns the pairs that are new."""
        pairs = sorted((contact, tag) for contact in contact_ids for tag in tag_ids)
        if not pairs:
            return []
        values = {
            "account": self.account_id,
            "now": self.now,
            "contacts": [contact for contact, _ in pairs],
            "tags": [tag for _, tag in pairs],
        }
        inserted = {
            (row.contact_id, row.tag_id) for row in await self.session.execute(INSERT_CONTACT_TAGS, values)
        }
        return [pair for pair in pairs if pair in inserted]

    async def events(self, facts: Sequence[tuple[str, UUID, Mapping[str, Any]]]) -> None:
        """Inserts events in this order: kind, contact, data."""
        if not facts:
            return
        values = {
            "account": self.account_id,
            "now": self.now,
            "ids": sorted(uuid7() for _ in facts),
            "kinds": [kind for kind, _, _ in facts],
            "subjects": [contact for _, contact, _ in facts],
            "data": [as_text(data) for _, _, data in facts],
        }
        await self.session.execute(INSERT_EVENTS, values)

    async def audit(
        self, import_id: UUID, filename: str, entries: Sequence[tuple[str, UUID, Mapping[str, Any]]]
    ) -> None:
        """Writes audit entries for the import's changes: action, contact, field → [from, to]."""
        if not entries:
            return
        values = {
            "account": self.account_id,
            "now": self.now,
            "import_id": str(import_id),
            "filename": filename,
            "ids": sorted(uuid7() for _ in entries),
            "actions": [action for action, _, _ in entries],
            "subjects": [str(contact) for _, contact, _ in entries],
            "changes": [as_text(changes) for _, _, changes in entries],
        }
        await self.session.execute(INSERT_AUDIT_ENTRIES, values)
