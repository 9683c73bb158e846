"""an index of unread notifications, which every page counts"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_notifications_unread",
        "notifications",
        ["account_id", "user_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("read_at is null"),
    )
