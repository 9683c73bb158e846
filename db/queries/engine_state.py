"""Statements about the single row of the engine's state: its heartbeat, its link key, and its hold."""

from sqlalchemy import text

READ_ENGINE_STATE = text("""
select id, heartbeat_at, held_at, held_by, held_reason, gap_from, gap_to from engine_state
""")
READ_LINK_KEY = text("select link_key from engine_state")
RECORD_HEARTBEAT = text("""
update engine_state set heartbeat_at = greatest(heartbeat_at, clock_timestamp()) returning id, heartbeat_at
""")
HOLD_ENGINE = text("""
update engine_state set held_at = clock_timestamp(), held_by = :by, held_reason = :reason,
       gap_from = cast(:gap_from as timestamptz), gap_to = cast(:gap_to as timestamptz)
 where held_at is null returning held_at
""")
# Accepts the newest heartbeat known outside, or the next check would hold the engine again.
RELEASE_ENGINE = text("""
update engine_state set heartbeat_at = greatest(heartbeat_at, clock_timestamp(), gap_to), held_at = null,
       held_by = null, held_reason = null, gap_from = null, gap_to = null
 where held_at is not null returning heartbeat_at
""")
