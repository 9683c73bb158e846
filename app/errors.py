"""Errors with a message for the caller. Use cases raise them; `app/web/errors.py` turns them into
responses."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec


class NotNow(Exception):
    """A background job must pause for `wait`. This doesn't count as a failed attempt."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.wait = wait


class SwitchyardError(Exception):
    """A refusal, with a message that a member or a script can act on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(SwitchyardError):
    """It doesn't exist, or belongs to another account; both get the same response (404)."""

    def __init__(self, what: str = "page", message: str = "") -> None:
        super().__init__(message or f"This account has no such {what}.")


class FieldConflict(msgspec.Struct, frozen=True):
    """A field that two callers changed: `field` is its name in the form, `yours` and `theirs` are the values
    as text, and `changed_by` stored theirs."""

    field: str
    label: str
    yours: str
    theirs: str
    changed_by: str
    changed_at: datetime


class Conflict(SwitchyardError):
    """The state doesn't allow it, or changed in the meantime (409). `current` is the current state. `fields`
    are those that someone else changed too; `untouched` are fields of the form that only someone else
    changed: a form that is shown again shows their current values."""

    def __init__(
        self,
        message: str,
        current: object = None,
        fields: Sequence[FieldConflict] = (),
        untouched: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.current, self.fields, self.untouched = current, fields, untouched


class Unconfirmed(Conflict):
    """A member has to confirm the change first: a browser gets the confirmation page (428). `current` says
    what would change."""


def check_expected(expected: int | None, total: int, singular: str, plural: str) -> None:
    """Refuses a change when `total` differs from the number that the caller expects; None accepts any number.
    `singular` and `plural` complete the message ("contact matches", "contacts match"). Raises `Conflict` with
    the current number."""
    if expected is not None and expected != total:
        sentence = (
            f"{total:,} {singular if total == 1 else plural} now, not {expected:,}. Nothing was changed."
        )
        raise Conflict(sentence, {"total": total})


class Invalid(SwitchyardError):
    """Invalid input (422): field name to message; "" is the form as a whole. `links` has the URLs of what
    messages name, by field name."""

    def __init__(self, errors: dict[str, str], links: dict[str, str] | None = None) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors
        self.links = links or {}


class Forbidden(SwitchyardError):
    """The caller's role or token doesn't allow it (403)."""


class Unavailable(SwitchyardError):
    """A service that the app depends on is unavailable (503). The caller can retry later."""
