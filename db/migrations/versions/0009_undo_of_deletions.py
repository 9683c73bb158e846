"""undo of deletions: which job deleted a contact; its notes and tasks stay until they expire"""

import sqlalchemy as sa
from alembic import op

from db.migrations.policies import add_definer_function

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WORN = """
worn_accounts(deleted timestamptz, decided timestamptz) returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select c.account_id from contacts c where c.deleted_at < deleted group by 1
  union
  select n.account_id from notes n where n.deleted_at < deleted group by 1
  union
  select t.account_id from tasks t where t.deleted_at < deleted group by 1
  union
  select d.account_id from trigger_decisions d
    where d.verdict = 'filter_false' and d.decided_at < decided group by 1
$$
"""
SIGNATURE = "worn_accounts(timestamptz, timestamptz)"


def upgrade() -> None:
    op.add_column("contacts", sa.Column("deletion_job_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_contacts_deletion_job",
        "contacts",
        ["account_id", "deletion_job_id", "id"],
        unique=False,
        postgresql_where=sa.text("deletion_job_id is not null"),
    )
    for table in ("notes", "tasks"):
        op.add_column(table, sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
        op.create_index(
            f"ix_{table}_deleted",
            table,
            ["account_id", "deleted_at"],
            unique=False,
            postgresql_where=sa.text("deleted_at is not null"),
        )
    add_definer_function(SIGNATURE, WORN, ("contacts", "notes", "tasks", "trigger_decisions"))
