"""Fifteen-minute JSON Web Tokens. A token contains the user and the account; permissions are read from the
database each time."""

import time
from uuid import UUID

import jwt
import msgspec

from app.web.signing_keys import KeyRing
from db.ids import uuid7

LIFETIME_SECONDS = 900
AUDIENCE = "switchyard"
ALGORITHM = "RS256"
NEEDED = ["iss", "aud", "sub", "sid", "account_id", "jti", "iat", "exp"]
REMEMBERED = 4096


class Claims(msgspec.Struct, frozen=True):
    """The claims of a token. Times are Unix seconds."""

    sub: UUID
    sid: UUID
    account_id: UUID
    jti: str
    iat: int
    exp: int


class BadToken(Exception):
    """A missing or invalid token. `renewable`: it is missing, expired or signed with an unknown key, so the
    session secret may renew it."""

    def __init__(self, reason: str, renewable: bool = False) -> None:
        super().__init__(reason)
        self.renewable = renewable


class Tokens:
    """Issues and checks tokens of one issuer. Checked tokens are cached until they expire."""

    def __init__(self, keys: KeyRing, issuer: str) -> None:
        self.keys = keys
        self.issuer = issuer
        self._claims: dict[str, Claims] = {}

    def issue(
        self, user_id: UUID, session_id: UUID, account_id: UUID, lifetime: int = LIFETIME_SECONDS
    ) -> str:
        """A signed token for one session in one account."""
        kid, key = self.keys.signing()
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "account_id": str(account_id),
            "jti": uuid7().hex,
            "iat": now,
            "exp": now + lifetime,
        }
        return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": kid})

    def read(self, token: str) -> Claims:
        """The claims of a genuine token that has not expired. Raises `BadToken`."""
        claims = self._claims.get(token)
        if claims is None:
            claims = self._check(token)
            if len(self._claims) >= REMEMBERED:
                self._forget()
            self._claims[token] = claims
        elif claims.exp <= time.time():
            del self._claims[token]
            raise BadToken("The token has expired.", renewable=True)
        return claims

    def _check(self, token: str) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise BadToken("The token isn't a JSON Web Token.") from error
        if header.get("alg") != ALGORITHM:
            raise BadToken("The token is signed with the wrong algorithm.")
        kid = header.get("kid")
        key = self.keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            raise BadToken("The token is signed with an unknown key.", renewable=True)
        try:
            raw = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=self.issuer,
                options={"require": NEEDED},
                leeway=0,
            )
            return msgspec.convert(raw, Claims)
        except jwt.ExpiredSignatureError as error:
            raise BadToken("The token has expired.", renewable=True) from error
        except (jwt.InvalidTokenError, msgspec.ValidationError) as error:
            raise BadToken("The token isn't valid here.") from error

    def _forget(self) -> None:
        """Drops expired entries, and the oldest half if that is not enough."""
        now = time.time()
        self._claims = {token: claims for token, claims in self._claims.items() if claims.exp > now}
        if len(self._claims) >= REMEMBERED:
            self._claims = dict(list(self._claims.items())[REMEMBERED // 2 :])
