"""counts that screens read instead of scanning: counters, their deltas, and the triggers that append them

Nothing is counted here: until a worker has counted a family of an account (`jobs/counter_upkeep.py`), its
screens scan as before. The counts of a new account are known from the start.
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op

from db.migrations.counter_triggers import add_counter_triggers
from db.migrations.policies import add_definer_function, add_tenant_policy, grant_to_app_user

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = ("counters", "counter_deltas", "counter_states")
FAMILIES = ("contacts", "tags", "segments", "enrollments", "visits")
FAMILY = f"family in ({', '.join(repr(family) for family in FAMILIES)})"

# Rows come and go all the time, and a read passes what vacuum has not removed yet.
CHURN = (
    "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0"
)

ACCOUNTS_WITH_DELTAS = """
accounts_with_counter_deltas() returns table (account_id uuid)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select d.account_id from counter_deltas d group by 1 order by count(*) desc
$$
"""
# Families that were never counted, or became unknown and were left alone for a while since.
ACCOUNTS_TO_COUNT = """
accounts_to_count(quiet interval) returns table (account_id uuid, families text[])
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
  select a.id, array_agg(f.family order by f.family)
    from accounts a
   cross join unnest(array['contacts', 'tags', 'segments', 'enrollments', 'visits']) f(family)
    left join counter_states s on s.account_id = a.id and s.family = f.family
   where s.counted_at is null and (s.changed_at is null or s.changed_at < clock_timestamp() - quiet)
   group by a.id order by a.id
$$
"""


def upgrade() -> None:
    op.create_table(
        "counters",
        _account(),
        *_key(),
        sa.Column("n", sa.BigInteger(), nullable=False),
        *_constraints("counters", *(column.name for column in _key())),
        postgresql_with={"fillfactor": "50"},
    )
    op.create_table(
        "counter_deltas",
        _account(),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        *_key(),
        sa.Column("n", sa.BigInteger(), nullable=True),
        *_constraints("counter_deltas", "id"),
    )
    op.create_index("ix_counter_deltas_subject", "counter_deltas", ["account_id", "family", "subject_id"])
    op.create_table(
        "counter_states",
        _account(),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        *_constraints("counter_states", "family"),
    )
    for table in ("counters", "counter_deltas"):
        op.execute(f"alter table {table} set ({CHURN})")
    for table in TABLES:
        add_tenant_policy(table)
    grant_to_app_user(("counters", "counter_states"))
    grant_to_app_user(("counter_deltas",), "select, insert, delete")
    add_definer_function("accounts_with_counter_deltas()", ACCOUNTS_WITH_DELTAS, ("counter_deltas",))
    add_definer_function("accounts_to_count(interval)", ACCOUNTS_TO_COUNT, ("accounts", "counter_states"))
    add_counter_triggers()


def _account() -> sa.Column[UUID]:
    return sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False)


def _key() -> tuple[sa.Column[str] | sa.Column[UUID] | sa.Column[int], ...]:
    return (
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("step_key", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="", nullable=False),
        sa.Column("lane", sa.Text(), server_default="", nullable=False),
    )


def _constraints(table: str, *key: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.CheckConstraint(FAMILY, name=op.f(f"ck_{table}_family")),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f(f"fk_{table}_account_id_accounts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", *key, name=op.f(f"pk_{table}")),
    )
