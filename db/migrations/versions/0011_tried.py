"""when an attempt of an effect last began: without one, nothing can have been sent"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("effects", sa.Column("tried_at", sa.DateTime(timezone=True), nullable=True))
