"""more types of custom fields, and what an account may say about them

The values of contacts stay as they are. `custom_fields` has at most a hundred rows for an account: the check
of the types is short, and the columns have constant defaults.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TYPES = (
    "type in ('text', 'long_text', 'phone', 'email', 'url', 'number', 'money', 'boolean', 'date',"
    " 'datetime', 'select', 'multi_select', 'member')"
)


def upgrade() -> None:
    name = op.f("ck_custom_fields_type")
    op.drop_constraint(name, "custom_fields", type_="check")
    op.create_check_constraint(name, "custom_fields", TYPES)
    for column in (
        sa.Column("currency", sa.Text(), server_default="", nullable=False),
        sa.Column("group_name", sa.Text(), server_default="", nullable=False),
        sa.Column("required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("default_value", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("former_keys", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
    ):
        op.add_column("custom_fields", column)
