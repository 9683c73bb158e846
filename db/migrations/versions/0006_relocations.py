"""the enrollments that a job moves to a published version"""

import sqlalchemy as sa
from alembic import op

from db.migrations.policies import add_tenant_policy, grant_to_app_user

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "relocations",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "enrollment_id"],
            ["enrollments.account_id", "enrollments.id"],
            name=op.f("fk_relocations_account_id_enrollment_id_enrollments"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "job_id"],
            ["jobs.account_id", "jobs.id"],
            name=op.f("fk_relocations_account_id_job_id_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "enrollment_id", name=op.f("pk_relocations")),
    )
    add_tenant_policy("relocations")
    grant_to_app_user(["relocations"])
