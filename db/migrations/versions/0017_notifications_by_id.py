"""indexes of notifications in the order of their lists, which is that of ids"""

from db.migrations.indexes import build_index, drop_index

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_notifications_account_id_user_id_id": "notifications (account_id, user_id, id)",
    "ix_notifications_unread_by_id": "notifications (account_id, user_id, id) where read_at is null",
}
BEFORE = ("ix_notifications_account_id_user_id_created_at", "ix_notifications_unread")


def upgrade() -> None:
    for name, place in INDEXES.items():
        build_index(name, place)
    for name in BEFORE:
        drop_index(name)
