"""values of contacts in the forms of today: emails, phones, text; and which contact has which email

What cannot be converted stays as it is: an address without a valid form, one that another contact has in its
valid form, a phone number that is none.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from app.email_addresses import normalize_email
from app.filters.countries import country_code
from app.filters.normalize import external_id, phone
from app.stored_text import clean_text
from db.migrations.stored_values import convert_contacts, each_account, in_batches, run_outside_transaction

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TEXTS = (
    "first_name", "last_name", "email", "phone", "phone2", "company", "address", "city", "county", "state",
    "postal_code", "country", "external_id",
)  # fmt: skip
PHONES = ("phone", "phone2")

CLAIM_EMAILS = """
with batch as (
  select id, email, other_emails, deleted_at from contacts
   where account_id = current_account() and id > :after order by id limit :batch for no key update),
claimed as (
  insert into contact_emails (account_id, email, contact_id)
  select current_account(), e.email, b.id
    from batch b cross join lateral emails_of(b.email, b.other_emails) e(email)
   where b.deleted_at is null
  on conflict do nothing)
select id from batch order by id desc limit 1
"""
UNCLAIMED = """
select count(*) from contacts c cross join lateral emails_of(c.email, c.other_emails) e(email)
 where c.account_id = current_account() and c.deleted_at is null
   and not exists (select from contact_emails o where o.account_id = c.account_id and o.email = e.email
                                                  and o.contact_id = c.id)
"""
LIST_SECOND_PHONES = """
with batch as (
  select id from contacts where account_id = current_account() and id > :after order by id limit :batch),
listed as (
  update contacts c set other_phones = jsonb_build_array(jsonb_build_object('value', c.phone2, 'label', ''))
    from batch b
   where c.account_id = current_account() and c.id = b.id and c.phone2 is not null and c.other_phones = '[]')
select id from batch order by id desc limit 1
"""
TEXT_FIELDS = "select id::text from custom_fields where account_id = current_account() and type = 'text'"
UNLISTED = """
select count(*) from contacts
 where account_id = current_account() and phone2 is distinct from other_phones -> 0 ->> 'value'
"""


def upgrade() -> None:
    for table in ("users", "invitations"):
        convert_emails(op.get_bind(), table)
    run_outside_transaction(convert)


def convert_emails(connection: Connection, table: str) -> None:
    """The addresses of those who sign in."""
    op.execute(f"alter table {table} no force row level security")
    other_forms = f"select id, email from {table} where email ~ '[^[:ascii:]]' or email like '%xn--%'"  # noqa: S608 -- own names
    for row_id, email in connection.exec_driver_sql(other_forms).all():
        today = normalize_email(email)
        if today and today != email:
            with suppress(IntegrityError), connection.begin_nested():
                update = sa.text(f"update {table} set email = :email where id = :id")  # noqa: S608 -- own names
                connection.execute(update, {"email": today, "id": row_id})
    op.execute(f"alter table {table} force row level security")


def convert(connection: Connection) -> None:
    for account, region in each_account(connection):
        in_batches(connection, CLAIM_EMAILS)
        in_batches(connection, LIST_SECOND_PHONES)
        for check in (UNCLAIMED, UNLISTED):
            if left := connection.exec_driver_sql(check).scalar_one():
                raise RuntimeError(f"{left} contacts of account {account} were not converted.")
        text_fields = frozenset(connection.exec_driver_sql(TEXT_FIELDS).scalars())
        convert_contacts(connection, (*TEXTS, "fields"), partial(converted, region, text_fields))


def converted(region: str, text_fields: Collection[str], values: Mapping[str, object]) -> dict[str, object]:
    """The columns that change, in their form of today."""
    texts = {name: text for name in TEXTS if isinstance(text := values[name], str)}
    new: dict[str, object] = {}
    for name, text in texts.items():
        today = clean_text(text)
        if name == "email":
            today = normalize_email(text) or text
        elif name in PHONES:
            today = phone(today, region)
        elif name == "external_id":
            today = external_id(today)
        elif name == "country":
            today = country_code(today) or today
        if today != text:
            new[name] = today or None
    fields = values["fields"]
    if isinstance(fields, dict):
        cleaned = {
            key: clean_text(text) if isinstance(text, str) and key in text_fields else text
            for key, text in fields.items()
        }
        if cleaned != fields:
            new["fields"] = json.dumps({key: text for key, text in cleaned.items() if text != ""})
    return new
