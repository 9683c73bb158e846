"""Errors with a message for the caller, raised by use cases and answered by app/web/errors.py."""

from datetime import timedelta


class NotNow(Exception):
    """A background job must wait for `wait` before it continues. This doesn't count as a failed attempt."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.wait = wait


class SwitchyardError(Exception):
    """A refusal, with a message that a person or a script can act on."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(SwitchyardError):
    """It doesn't exist, or belongs to another account: both are answered alike (404)."""

    def __init__(self, what: str = "page", message: str = "") -> None:
        super().__init__(message or f"This account has no such {what}.")


class Conflict(SwitchyardError):
    """The state forbids it, or changed at the same time (409). `current` is the state now."""

    def __init__(self, message: str, current: object = None) -> None:
        super().__init__(message)
        self.current = current


class Unconfirmed(Conflict):
    """A change that a member has to confirm first: a browser gets the confirmation page (428). `current` says
    what would change."""


def check_expected(expected: int | None, total: int, singular: str, plural: str) -> None:
    """Refuses a change when another number of things matches than the caller saw; None accepts any number.
    `one` and `many` say what is counted ("contact matches", "contacts match"). Raises `Conflict` with the
    present number."""
    if expected is not None and expected != total:
        sentence = (
            f"{total:,} {singular if total == 1 else plural} now, not {expected:,}. Nothing was changed."
        )
        raise Conflict(sentence, {"total": total})


class Invalid(SwitchyardError):
    """Input that cannot be accepted (422): field name to sentence; "" is the whole form."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class Forbidden(SwitchyardError):
    """The caller's role or token doesn't allow it (403)."""


class Unavailable(SwitchyardError):
    """A service that the app depends on is down (503). The caller can retry later."""
