"""Tells errors of a busy or unreachable database from errors that a row causes."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# SQLSTATE classes: connection, rollback (deadlock, serialization), object in use, resources, operator,
# system.
_TRANSIENT_STATES = ("08", "40", "53", "55", "57", "58")


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed later: the database is busy or away, or all connections are taken."""
    if isinstance(error, OSError | TimeoutError | PoolTimeout):
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or state is None or str(state).startswith(_TRANSIENT_STATES)
    return False
