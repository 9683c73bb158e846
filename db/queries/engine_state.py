"""Statements about the single row of the engine's state: its heartbeat, its link key, and its hold."""

from sqlalchemy import text

READ_ENGINE_STATE = text("""
select id, beat_at, held_at, held_by, held_reason, gap_from, gap_to from installation
""")
READ_LINK_KEY = text("select link_key from installation")
RECORD_HEARTBEAT = text("""
update installation set beat_at = greatest(beat_at, clock_timestamp()) returning id, beat_at
""")
HOLD_ENGINE = text("""
update installation set held_at = clock_timestamp(), held_by = :by, held_reason = :reason,
       gap_from = cast(:gap_from as timestamptz), gap_to = cast(:gap_to as timestamptz)
 where held_at is null returning held_at
""")
# Accepts the newest heartbeat known outside, or the next check would hold the engine again.
RELEASE_ENGINE = text("""
update installation set beat_at = greatest(beat_at, clock_timestamp(), gap_to), held_at = null,
       held_by = null, held_reason = null, gap_from = null, gap_to = null
 where held_at is not null returning beat_at
""")
