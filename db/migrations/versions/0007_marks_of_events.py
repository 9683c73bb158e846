"""marks of events that are matched, beside those of enrollments that are moved"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("batches", sa.Column("kind", sa.Text(), server_default="move", nullable=False))
    op.create_check_constraint(op.f("ck_batches_kind"), "batches", "kind in ('move', 'match')")
