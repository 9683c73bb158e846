"""the whole vocabulary of the engine: segments, hooks, clocks, approvals, breakers, notes, tasks"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.migrations.policies import add_definer_function, add_tenant_policy, grant_to_app_user

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OWN = (
    "approvals",
    "breakers",
    "hook_deliveries",
    "hooks",
    "notes",
    "notifications",
    "segment_members",
    "segments",
    "step_states",
    "tasks",
    "workflow_clocks",
)
KINDS = "kind in ('email', 'webhook')"
MORE_KINDS = "kind in ('email', 'sms', 'chat', 'webhook')"

# Per account one look at the front of each index: it costs the same for one due row and for a million.
DUE_ACCOUNTS = """
due_accounts(moment timestamptz) returns table (account_id uuid, oldest timestamptz)
language sql stable security definer set search_path = pg_catalog, public as $$
  select a.id, due.oldest from accounts a cross join lateral (select least(
    (select e.due_at from enrollments e where e.account_id = a.id and e.status = 'active'
        and e.due_at is not null and e.due_at <= moment order by e.due_at limit 1),
    (select v.occurred_at from events v where v.account_id = a.id and v.matched_at is null
        order by v.id limit 1),
    (select f.due_at from effects f where f.account_id = a.id
        and f.status in ('pending', 'retry', 'claimed') and f.due_at <= moment order by f.due_at limit 1),
    (select j.due_at from jobs j where j.account_id = a.id and j.status in ('queued', 'running')
        and j.due_at <= moment order by j.due_at limit 1),
    (select k.next_at from workflow_clocks k where k.account_id = a.id and k.next_at <= moment
        order by k.next_at limit 1),
    (select s.due_at from segments s where s.account_id = a.id and s.due_at is not null
        and s.due_at <= moment order by s.due_at limit 1),
    (select t.due_at from tasks t where t.account_id = a.id and t.completed_at is null
        and t.overdue_at is null and t.due_at is not null and t.due_at <= moment order by t.due_at limit 1)
  ) as oldest) due where due.oldest is not null order by 2
$$
"""

# An inbound webhook names its account only by its secret: looked up before a tenant is known.
HOOK_OF = """
hook_of(token bytea) returns table (account_id uuid, hook_id uuid)
language sql stable security definer set search_path = pg_catalog, public as $$
  select h.account_id, h.id from hooks h where h.token_hash = token
$$
"""


def upgrade() -> None:
    op.create_table(
        "segments",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("filter", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("rev", sa.Integer(), server_default="1", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_segments_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_segments")),
        sa.UniqueConstraint("account_id", "slug", name=op.f("uq_segments_account_id_slug")),
    )
    op.create_index(
        "ix_segments_due",
        "segments",
        ["account_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at is not null"),
    )
    op.create_table(
        "breakers",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("error_class", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="closed", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "sample",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("state in ('closed', 'open', 'half_open')", name=op.f("ck_breakers_state")),
        sa.ForeignKeyConstraint(
            ["account_id", "workflow_id"],
            ["workflows.account_id", "workflows.id"],
            name=op.f("fk_breakers_account_id_workflow_id_workflows"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "workflow_id", "step_key", "error_class", name=op.f("pk_breakers")
        ),
    )
    op.create_table(
        "hooks",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("trigger_key", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("signing_secret", sa.LargeBinary(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "workflow_id"],
            ["workflows.account_id", "workflows.id"],
            name=op.f("fk_hooks_account_id_workflow_id_workflows"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_hooks")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_hooks_token_hash")),
    )
    op.create_index("uq_hooks_trigger", "hooks", ["account_id", "workflow_id", "trigger_key"], unique=True)
    op.create_table(
        "notifications",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        sa.Column("href", sa.Text(), server_default="", nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "user_id"],
            ["memberships.account_id", "memberships.user_id"],
            name=op.f("fk_notifications_account_id_user_id_memberships"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_notifications")),
    )
    op.create_index(
        op.f("ix_notifications_account_id_user_id_created_at"),
        "notifications",
        ["account_id", "user_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "step_states",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("state", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "workflow_id"],
            ["workflows.account_id", "workflows.id"],
            name=op.f("fk_step_states_account_id_workflow_id_workflows"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "workflow_id", "step_key", name=op.f("pk_step_states")),
    )
    op.create_table(
        "hook_deliveries",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("hook_id", sa.Uuid(), nullable=False),
        sa.Column("delivery_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "hook_id"],
            ["hooks.account_id", "hooks.id"],
            name=op.f("fk_hook_deliveries_account_id_hook_id_hooks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "hook_id", "delivery_id", name=op.f("pk_hook_deliveries")),
    )
    op.create_index(
        op.f("ix_hook_deliveries_account_id_received_at"),
        "hook_deliveries",
        ["account_id", "received_at"],
        unique=False,
    )
    op.create_table(
        "notes",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author_kind", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "contact_id"],
            ["contacts.account_id", "contacts.id"],
            name=op.f("fk_notes_account_id_contact_id_contacts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_notes")),
    )
    op.create_index(
        op.f("ix_notes_account_id_contact_id_created_at"),
        "notes",
        ["account_id", "contact_id", "created_at"],
        unique=False,
    )
    op.create_table(
        "segment_members",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "contact_id"],
            ["contacts.account_id", "contacts.id"],
            name=op.f("fk_segment_members_account_id_contact_id_contacts"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "segment_id"],
            ["segments.account_id", "segments.id"],
            name=op.f("fk_segment_members_account_id_segment_id_segments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "segment_id", "contact_id", name=op.f("pk_segment_members")),
    )
    op.create_index(
        op.f("ix_segment_members_account_id_contact_id"),
        "segment_members",
        ["account_id", "contact_id"],
        unique=False,
    )
    op.create_table(
        "tasks",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_by", sa.Text(), nullable=True),
        sa.Column("overdue_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("author_kind", sa.Text(), nullable=False),
        sa.Column("author_id", sa.Text(), nullable=False),
        sa.Column("author_name", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "assignee_id"],
            ["memberships.account_id", "memberships.user_id"],
            name=op.f("fk_tasks_account_id_assignee_id_memberships"),
            ondelete="SET NULL (assignee_id)",
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "contact_id"],
            ["contacts.account_id", "contacts.id"],
            name=op.f("fk_tasks_account_id_contact_id_contacts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_tasks")),
    )
    op.create_index(
        op.f("ix_tasks_account_id_contact_id_created_at"),
        "tasks",
        ["account_id", "contact_id", "created_at"],
        unique=False,
    )
    op.create_index("ix_tasks_assignee", "tasks", ["account_id", "assignee_id", "completed_at"], unique=False)
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["account_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("completed_at is null and overdue_at is null and due_at is not null"),
    )
    op.create_table(
        "workflow_clocks",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("trigger_key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind in ('schedule', 'date_reached')", name=op.f("ck_workflow_clocks_kind")),
        sa.ForeignKeyConstraint(
            ["account_id", "workflow_id", "version"],
            ["workflow_versions.account_id", "workflow_versions.workflow_id", "workflow_versions.number"],
            name=op.f("fk_workflow_clocks_account_id_workflow_id_version_workflow_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "workflow_id", "trigger_key", name=op.f("pk_workflow_clocks")),
    )
    op.create_index("ix_workflow_clocks_next", "workflow_clocks", ["account_id", "next_at"], unique=False)
    op.create_table(
        "approvals",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("step_key", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column(
            "users",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), server_default="open", nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status in ('open', 'answered', 'expired', 'withdrawn')", name=op.f("ck_approvals_status")
        ),
        sa.ForeignKeyConstraint(
            ["account_id", "enrollment_id"],
            ["enrollments.account_id", "enrollments.id"],
            name=op.f("fk_approvals_account_id_enrollment_id_enrollments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_approvals")),
    )
    op.create_index(
        "ix_approvals_open",
        "approvals",
        ["account_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("uq_approvals_visit", "approvals", ["account_id", "enrollment_id", "seq"], unique=True)
    op.create_table(
        "enrollment_moves",
        sa.Column("account_id", sa.Uuid(), server_default=sa.text("current_account()"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("enrollment_id", sa.Uuid(), nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("to_version", sa.Integer(), nullable=False),
        sa.Column("from_step", sa.Text(), nullable=True),
        sa.Column("to_step", sa.Text(), nullable=True),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "enrollment_id"],
            ["enrollments.account_id", "enrollments.id"],
            name=op.f("fk_enrollment_moves_account_id_enrollment_id_enrollments"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_enrollment_moves")),
    )
    op.create_index(
        op.f("ix_enrollment_moves_account_id_enrollment_id"),
        "enrollment_moves",
        ["account_id", "enrollment_id"],
        unique=False,
    )
    op.add_column("contacts", sa.Column("owner_id", sa.Uuid(), nullable=True))
    op.add_column("contacts", sa.Column("email_consent", sa.Text(), server_default="unknown", nullable=False))
    op.add_column("contacts", sa.Column("sms_consent", sa.Text(), server_default="unknown", nullable=False))
    op.create_index(
        op.f("ix_contacts_account_id_owner_id"), "contacts", ["account_id", "owner_id"], unique=False
    )
    op.create_foreign_key(
        op.f("fk_contacts_account_id_owner_id_memberships"),
        "contacts",
        "memberships",
        ["account_id", "owner_id"],
        ["account_id", "user_id"],
        ondelete="SET NULL (owner_id)",
    )
    op.add_column("effects", sa.Column("error_class", sa.Text(), nullable=True))
    op.add_column("enrollments", sa.Column("entry_key", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "enrollments",
        sa.Column(
            "data",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.add_column("enrollments", sa.Column("heard_event_id", sa.Uuid(), nullable=True))
    op.add_column("enrollments", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "enrollments", sa.Column("of_deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.drop_index(
        op.f("uq_enrollments_live"), table_name="enrollments", postgresql_where="(status = 'active'::text)"
    )
    op.create_index(
        "uq_enrollments_live",
        "enrollments",
        ["account_id", "workflow_id", "contact_id", "entry_key"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    op.add_column("mailbox_messages", sa.Column("channel", sa.Text(), server_default="email", nullable=False))
    op.drop_constraint("ck_effects_kind", "effects")
    op.create_check_constraint(op.f("ck_effects_kind"), "effects", MORE_KINDS)
    for table in (*OWN, "enrollment_moves"):
        add_tenant_policy(table)
    grant_to_app_user(OWN)
    grant_to_app_user(("enrollment_moves",), "select, insert")
    add_definer_function(
        "due_accounts(timestamptz)",
        DUE_ACCOUNTS,
        ("accounts", "enrollments", "events", "effects", "jobs", "workflow_clocks", "segments", "tasks"),
    )
    add_definer_function("hook_of(bytea)", HOOK_OF, ("hooks",))
