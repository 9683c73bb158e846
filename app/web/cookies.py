"""The two cookies of a browser: the token, and the session secret that renews it."""

from litestar.datastructures import Cookie
from litestar.types import Scope

from app.settings import Settings
from app.web import content_negotiation

SESSION_SECONDS = 14 * 86_400


class Cookies:
    """The names and flags of the cookies. Behind HTTPS they are `__Host-` and Secure, which browsers don't
    store for plain HTTP on loopback."""

    def __init__(self, settings: Settings) -> None:
        self.secure = settings.secure
        prefix = "__Host-" if self.secure else ""
        self.token = f"{prefix}switchyard-token"
        self.secret = f"{prefix}switchyard-session"

    def read(self, scope: Scope) -> tuple[str, str]:
        """The token and the secret of the request, "" for none."""
        values = {self.token: "", self.secret: ""}
        for part in content_negotiation.header(scope, b"cookie").split(";"):
            name, _, value = part.strip().partition("=")
            if name in values:
                values[name] = value
        return values[self.token], values[self.secret]

    def signed_in(self, token: str, secret: str = "") -> list[Cookie]:
        """The cookies of a new token and, with `secret`, of a new session."""
        pairs = [(self.token, token)] + ([(self.secret, secret)] if secret else [])
        return [self._cookie(name, value, SESSION_SECONDS) for name, value in pairs]

    def signed_out(self) -> list[Cookie]:
        """Deletes both cookies."""
        return [self._cookie(name, "", 0) for name in (self.token, self.secret)]

    def _cookie(self, name: str, value: str, seconds: int) -> Cookie:
        return Cookie(
            key=name,
            value=value,
            path="/",
            max_age=seconds,
            httponly=True,
            secure=self.secure,
            samesite="lax",
        )


def set_cookies(scope: Scope, cookies: list[Cookie]) -> None:
    """Adds cookies to the response of this request, whatever its status."""
    scope["state"].setdefault("extra", []).extend(cookie.to_encoded_header() for cookie in cookies)
