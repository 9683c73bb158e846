"""Passwords and secrets: rules for passwords, hashes to store, new random secrets."""

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
# Checked when no user has the address, so that the response takes as long and reveals nothing.
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
    """Why a password is refused, in a sentence; "" when it is fine. Length counts, character kinds don't."""
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
    """An Argon2id hash with its own salt."""
    return await asyncio.to_thread(HASHER.hash, password)


async def password_matches(password: str, stored: str | None) -> bool:
    """Whether a password belongs to a hash. Without a hash it takes as long, and is False."""
    try:
        await asyncio.to_thread(HASHER.verify, stored or UNKNOWN_USER_HASH, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def new_secret(prefix: str = "") -> str:
    """256 random bits as text that is safe in addresses."""
    return prefix + secrets.token_urlsafe(32)


def session_secret(session_id: UUID) -> str:
    """The secret of a session: its id, to find it by, and 256 random bits."""
    return f"{session_id.hex}.{new_secret()}"


def session_of(secret: str) -> UUID | None:
    """The id of the session that a secret names; None for a text of another form."""
    name, dot, rest = secret.partition(".")
    try:
        return UUID(hex=name) if dot and rest and len(name) == 32 else None
    except ValueError:
        return None


def digest(secret: str) -> bytes:
    """The SHA-256 of a secret of 256 random bits: the form in which the database stores it."""
    return hashlib.sha256(secret.encode()).digest()
