"""columns and indexes by which lists of contacts sort and searches find

Row locks of one batch at a time are all that the filling takes; columns and trigger come in one short
transaction. An interrupted migration is run again: what is filled is passed over, what is built stays.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.contact_keys import FILL, FOLDED, KEYS, TRIGGER, fill_keys, list_accounts
from db.migrations.indexes import build_index, drop_index

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SORTED = (*KEYS, "updated_at", "email_consent", "sms_consent")
INDEXES = {
    **{
        f"ix_contacts_live_{name}": f"contacts (account_id, {name}, id) where deleted_at is null"
        for name in SORTED
    },
    "ix_contacts_live_search": "contacts using gin (search gin_trgm_ops) where deleted_at is null",
    "ix_contacts_account_id_owner_id_id": "contacts (account_id, owner_id, id)",
}
BEFORE = ("ix_contacts_live_name", "ix_contacts_account_id_owner_id")


def upgrade() -> None:
    op.execute("create extension if not exists pg_trgm")
    columns = sa.inspect(op.get_bind()).get_columns("contacts")
    if "name_key" not in {column["name"] for column in columns}:
        for name in KEYS:
            op.add_column("contacts", sa.Column(name, sa.Text(collation="C"), nullable=True))
        op.execute("alter table contacts alter column search drop expression")
        op.alter_column("contacts", "search", server_default="")
    for function in (FOLDED, FILL):
        op.execute(function)
    op.execute("drop trigger if exists fill_contact_keys on contacts")
    op.execute(TRIGGER)
    op.execute("alter table contacts enable always trigger fill_contact_keys")
    fill_keys(list_accounts())
    for name, place in INDEXES.items():
        build_index(name, place)
    for name in BEFORE:
        drop_index(name)
    op.execute("analyze contacts")
