"""custom fields that an account marked as indexed: their values in columns of contacts, with indexes

Adds columns and a trigger in one short transaction, then empty indexes: no field is marked yet.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.contact_values import SLOTS, add_value_triggers
from db.migrations.indexes import build_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("contacts")}
    if "value_1" not in columns:
        op.add_column("custom_fields", sa.Column("slot", sa.SmallInteger(), nullable=True))
        op.add_column(
            "custom_fields",
            sa.Column("indexed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        )
        op.create_check_constraint(op.f("ck_custom_fields_slot"), "custom_fields", "slot between 1 and 10")
        op.create_unique_constraint(
            op.f("uq_custom_fields_account_id_slot"), "custom_fields", ["account_id", "slot"]
        )
        for slot in SLOTS:
            op.add_column("contacts", sa.Column(f"value_{slot}", sa.Double(), nullable=True))
        add_value_triggers()
    for slot in SLOTS:
        build_index(
            f"ix_contacts_live_value_{slot}",
            f"contacts (account_id, value_{slot}, id) where value_{slot} is not null and deleted_at is null",
        )
