"""Maps each exception to a problem document (RFC 9457). Responses never contain internal details."""

import socket
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

import msgspec
from advanced_alchemy.exceptions import NotFoundError, RepositoryError
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from app.errors import (
    Conflict,
    FieldConflict,
    Forbidden,
    Invalid,
    NotFound,
    SwitchyardError,
    Unavailable,
    Unconfirmed,
)
from app.web.validation_messages import MOST_ERRORS, sentence

RETRY_SECONDS = 2
LONGEST_NAME = 100  # characters of a field's name in a response
CONDITIONS = ("f", "match")  # query parameters; forms have no fields with these names
# Fixed codes, because scripts compare them: Python renamed the phrases of 413 and 422 between versions.
CODES = {
    401: "not_signed_in",
    413: "too_large",
    422: "invalid",
    429: "too_many_requests",
    499: "client_closed_request",
    500: "internal_error",
}
TOO_SLOW = "statement_timeout"
BUSY = (503, "The database is busy. Nothing was saved. Try again.")
NO_CONNECTION = (503, "All database connections of this server are in use. Nothing was saved. Try again.")
UNAVAILABLE = (503, "The database is unavailable. Nothing was saved. Try again.")
UNSTORABLE = (422, "The text contains a character that can't be stored. Nothing was saved.")
STATES: dict[str, tuple[int, str] | tuple[int, str, str]] = {
    "23505": (409, "This already exists. Nothing was saved."),
    "23503": (409, "Something this refers to is in use or was deleted. Nothing was saved."),
    "23502": (422, "A required value is missing. Nothing was saved."),
    "23514": (422, "A value isn't allowed. Nothing was saved."),
    "22001": (422, "A text is too long. Nothing was saved."),
    "22003": (422, "A number is too large. Nothing was saved."),
    "22021": UNSTORABLE,
    "22P05": UNSTORABLE,
    "40001": BUSY,
    "40P01": BUSY,
    "55P03": BUSY,
    "57014": (*BUSY, TOO_SLOW),
}
UNAVAILABLE_STATES = ("08", "53", "57P")


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem document. `errors` is field name to message, `links` field name to the URL of what its
    message names. For a conflict `current` is the current state, and `conflicts` are the fields that someone
    else changed too."""

    title: str
    status: int
    detail: str = ""
    code: str = ""
    request_id: str = ""
    errors: dict[str, str] = {}
    links: dict[str, str] = {}
    current: object = None
    conflicts: list[FieldConflict] = []
    instance: str = ""
    type: str = "about:blank"
    headers: msgspec.UnsetType | dict[str, str] = msgspec.UNSET


def problem_of(error: Exception) -> Problem:
    """The problem of an exception; an unknown exception is a 500 without details."""
    problem = (
        _app_error(error)
        or _http_error(error)
        or _database_error(error)
        or _problem(500, "Something went wrong on our end.")
    )
    if problem.status == 503:
        problem.headers = {"Retry-After": str(RETRY_SECONDS)}
    return problem


def _problem(
    status: int,
    detail: str,
    code: str = "",
    *,
    errors: dict[str, str] | None = None,
    current: object = None,
    headers: msgspec.UnsetType | dict[str, str] = msgspec.UNSET,
) -> Problem:
    code = code or CODES.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_")
    title = code.replace("_", " ").capitalize()
    return Problem(title, status, detail, code, errors=errors or {}, current=current, headers=headers)


def _app_error(error: Exception) -> Problem | None:
    if isinstance(error, Invalid):
        problem = _invalid(error.errors)
        problem.links = error.links
        return problem
    if isinstance(error, Conflict):
        status = 428 if isinstance(error, Unconfirmed) else 409
        problem = _problem(status, error.message, current=error.current)
        problem.conflicts = list(error.fields)
        return problem
    for kind, status in ((NotFound, 404), (Forbidden, 403), (Unavailable, 503)):
        if isinstance(error, kind):
            return _problem(status, error.message)
    return _problem(400, error.message) if isinstance(error, SwitchyardError) else None


def _http_error(error: Exception) -> Problem | None:
    if isinstance(error, ValidationException):
        return _invalid(_parameters(error))
    if isinstance(error, NotFoundException):
        detail = error.detail if error.detail != HTTPStatus(404).phrase else "There is nothing at this URL."
        return _problem(404, detail)
    if not isinstance(error, HTTPException) or error.status_code >= 500:
        return None
    headers = {str(name).title(): str(value) for name, value in (error.headers or {}).items()}
    if isinstance(error, MethodNotAllowedException):
        methods = {part.strip() for part in headers.get("Allow", "").split(",") if part.strip()}
        headers["Allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        return _problem(405, f"Use {headers['Allow']} here.", headers=headers)
    if error.status_code == 413:
        return _problem(413, error.detail or "The body is too large.")
    return _problem(error.status_code, error.detail, headers=headers or msgspec.UNSET)


def _parameters(error: ValidationException) -> dict[str, str]:
    """Litestar's list of bad query and path parameters, as field name to message."""
    listed = error.extra if isinstance(error.extra, list) else []
    errors = {
        str(parameter.get("key", "")): sentence(str(parameter.get("message", "")))
        for parameter in listed
        if isinstance(parameter, dict)
    }
    return errors or {"": error.detail}


def _invalid(errors: dict[str, str]) -> Problem:
    """A 422 with a message for each invalid field. It lists at most `MOST_ERRORS` fields, with names of at
    most `LONGEST_NAME` characters, since the sender controls both."""
    listed = {_short(name): text for name, text in islice(errors.items(), MOST_ERRORS)}
    suffix = f" There are more than {MOST_ERRORS} errors; these are the first." * (len(errors) > MOST_ERRORS)
    return _problem(422, _summary(listed) + suffix, errors=listed)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…"


def _summary(errors: dict[str, str]) -> str:
    if "" in errors and len(errors) == 1:
        return errors[""]
    if all(name.partition(".")[0] in CONDITIONS for name in errors):
        return " ".join(dict.fromkeys(errors.values()))
    return f"Please correct: {', '.join(_readable(name) for name in errors)}."


def _readable(name: str) -> str:
    """A field's name as text: `rows.2.first_name` as "rows 3 first name"."""
    parts = [str(int(part) + 1) if part.isdecimal() else part for part in name.split(".")]
    return " ".join(parts).replace("_", " ") or "the form"


def _database_error(error: Exception) -> Problem | None:
    """The problem of a database error. The error's own message is never used, since it may contain data of
    contacts."""
    for cause in _causes(error):
        state = getattr(cause, "sqlstate", None) or ""
        if state in STATES:
            return _problem(*STATES[state])
        if isinstance(cause, NotFoundError):
            return _problem(404, NotFound().message)
        if isinstance(cause, StaleDataError):
            return _problem(
                409, "Someone else changed this at the same time. Nothing was saved; open it again."
            )
        if isinstance(cause, PoolTimeout):
            return _problem(*NO_CONNECTION)
        if (state and state.startswith(UNAVAILABLE_STATES)) or _unreachable(cause):
            return _problem(*UNAVAILABLE)
    return None


def _unreachable(error: BaseException) -> bool:
    if getattr(error, "connection_invalidated", False):
        return True
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)) or type(error) is OSError:
        return True
    name = type(error).__name__
    return name in (
        "InterfaceError",
        "InternalClientError",
        "CannotConnectNowError",
        "ConnectionDoesNotExistError",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and its causes; for database exceptions also their contexts."""
    visited: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        cause = pending.pop()
        if cause is None or id(cause) in visited:
            continue
        visited.add(id(cause))
        yield cause
        pending += [cause.__cause__, getattr(cause, "orig", None)]
        if isinstance(cause, (RepositoryError, SQLAlchemyError)):
            pending.append(cause.__context__)
        if isinstance(cause, BaseExceptionGroup):
            pending += list(cause.exceptions)
