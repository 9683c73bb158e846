"""further emails and phones of a contact, and the labels of all of them

Adding these columns rewrites no row: the defaults are constants.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for kind in ("email", "phone"):
        op.add_column("contacts", sa.Column(f"{kind}_label", sa.Text(), nullable=True))
        op.add_column(
            "contacts",
            sa.Column(f"other_{kind}s", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        )
