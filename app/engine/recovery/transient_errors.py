"""Whose fault an error is: a row's, or that of a database that is busy or away."""

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# SQLSTATE classes that say "not now": connection, rollback (deadlock, serialization), resources, operator.
_TRANSIENT_STATES = ("08", "40", "53", "55", "57", "58")


def is_transient(error: Exception) -> bool:
    """Whether the database is busy or away, or all connections to it taken: to be tried again as it is."""
    if isinstance(error, OSError | TimeoutError | PoolTimeout):
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or state is None or str(state).startswith(_TRANSIENT_STATES)
    return False
