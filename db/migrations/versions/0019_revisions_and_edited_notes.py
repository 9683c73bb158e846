"""the revision of a contact that each audit entry brought, so that conflicts are found field by field, and
notes that are edited"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without defaults: nothing is rewritten, the locks last a moment.
    op.add_column("audit_logs", sa.Column("rev", sa.Integer(), nullable=True))
    op.add_column("notes", sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True))
