"""Passwords and secrets: rules for passwords, hashes, and new random secrets."""

import asyncio
import hashlib
import secrets
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
ACCESS_PREFIX = "swy_"
# RFC 9106, second recommendation with less memory: about 50 ms, in a thread.
HASHER = PasswordHasher(time_cost=3, memory_cost=32_768, parallelism=1)
# Verified when no user has the email, so that the response time doesn't reveal it.
UNKNOWN_USER_HASH = HASHER.hash(secrets.token_urlsafe(24))

STEMS = frozenset(
    {
        "password",
        "passwort",
        "motdepasse",
        "contrasena",
        "qwerty",
        "qwertz",
        "azerty",
        "asdfgh",
        "zxcvbn",
        "letmein",
        "welcome",
        "iloveyou",
        "football",
        "baseball",
        "basketball",
        "monkey",
        "dragon",
        "sunshine",
        "princess",
        "superman",
        "batman",
        "trustno1",
        "admin",
        "administrator",
        "changeme",
        "default",
        "secret",
        "login",
        "master",
        "hello",
        "whatever",
        "freedom",
        "michael",
        "jennifer",
        "jordan",
        "shadow",
        "access",
        "switchyard",
        "starwars",
        "computer",
        "internet",
        "abc",
        "abcdef",
        "abcdefgh",
        "1q2w3e",
        "1qaz2wsx",
        "qazwsx",
    }
)


def password_problem(password: str, email: str = "", name: str = "") -> str:
    """Why a password is refused, as a message; "" when it is acceptable. It has to be long and uncommon, and
    may not be the user's email or name; kinds of characters don't matter."""
    plain = password.strip().lower()
    if len(password) < SHORTEST:
        return f"Use at least {SHORTEST} characters; a few words together are easy to remember."
    if len(password) > LONGEST:
        return f"Use at most {LONGEST} characters."
    if len(set(plain)) < 5 or plain in "01234567890123456789 abcdefghijklmnopqrstuvwxyz":
        return "This is too easy to guess. Use more different characters."
    stem = plain.strip("0123456789!?.,-_*#@$ ")
    if stem in STEMS or any(stem == word * (len(stem) // len(word)) for word in STEMS if word):
        return "This is a common password. Choose another."
    own = [part for part in (email.lower(), email.lower().split("@")[0], name.lower()) if len(part) > 3]
    if any(plain.strip("0123456789!?.") == part for part in own):
        return "This is your own name or email address. Choose another password."
    return ""


async def hash_password(password: str) -> str:
    """An Argon2id hash with a new salt. It runs in a thread, for about 50 ms."""
    return await asyncio.to_thread(HASHER.hash, password)


async def password_matches(password: str, stored: str | None) -> bool:
    """Whether a password matches a stored hash. False without a hash, after the same time."""
    try:
        await asyncio.to_thread(HASHER.verify, stored or UNKNOWN_USER_HASH, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def new_secret(prefix: str = "") -> str:
    """256 random bits as text that is safe in URLs."""
    return prefix + secrets.token_urlsafe(32)


def session_secret(session_id: UUID) -> str:
    """The secret of a session: its id, by which the session is found, and 256 random bits."""
    return f"{session_id.hex}.{new_secret()}"


def session_of(secret: str) -> UUID | None:
    """The id of the session in a secret; None for a malformed secret."""
    name, dot, rest = secret.partition(".")
    try:
        return UUID(hex=name) if dot and rest and len(name) == 32 else None
    except ValueError:
        return None


def digest(secret: str) -> bytes:
    """The SHA-256 of a random secret, which the database stores instead of the secret."""
    return hashlib.sha256(secret.encode()).digest()
