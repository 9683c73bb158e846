"""the key of links in emails, which outlives the signing keys"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("installation", sa.Column("link_key", sa.LargeBinary(), nullable=True))
    statement = sa.text("update installation set link_key = :key").bindparams(key=secrets.token_bytes(64))
    op.get_bind().execute(statement)
    op.alter_column("installation", "link_key", nullable=False)
