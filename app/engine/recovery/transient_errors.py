"""Tells errors of a busy or unreachable database from errors that a row causes."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.queries.statements import sqlstate_of

# SQLSTATE classes: connection, rollback (deadlock, serialization), object in use, resources, operator,
# system.
_TRANSIENT_STATES = ("08", "40", "53", "55", "57", "58")


def is_transient(error: Exception) -> bool:
    """Whether the same work may succeed later: the database is busy or away, or all connections are taken."""
    if isinstance(error, OSError | TimeoutError | PoolTimeout):
        return True
    if isinstance(error, DBAPIError):
        state = sqlstate_of(error)
        return error.connection_invalidated or not state or state.startswith(_TRANSIENT_STATES)
    return False
