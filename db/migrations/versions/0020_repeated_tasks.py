"""tasks that repeat, and those that are completed together"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind in {
        "completion_id": sa.Uuid(),
        "repeats": sa.Text(),
        "repeat_from": sa.DateTime(timezone=True),
        "repeat_zone": sa.Text(),
        "next_id": sa.Uuid(),
    }.items():
        op.add_column("tasks", sa.Column(name, kind, nullable=True))
    op.create_check_constraint(op.f("ck_tasks_repeats"), "tasks", "repeats in ('daily', 'weekly', 'monthly')")
