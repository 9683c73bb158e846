"""an index of tasks that were completed together"""

from db.migrations.indexes import build_index

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("ix_tasks_completion", "tasks (account_id, completion_id) where completion_id is not null")
