"""Passwords and secrets: rules for passwords, hashes, and new random secrets."""

import asyncio
import hashlib
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 12, 256
ACCESS_PREFIX = "swy_"
# RFC 9106, second recommendation with less memory: about 50 ms, in a thread.
HASHER = PasswordHasher(time_cost=3, memory_cost=32_768, parallelism=1)
# Verified when no user has the email, so that the response time doesn't reveal it.
UNKNOWN_USER_HASH = HASHER.hash(secrets.token_urlsafe(24))

# How many guesses a password must withstand: the best score of zxcvbn. Three unrelated words do, and so do
# twelve random characters.
FEWEST_GUESSES = 10**10
# Words that are common in passwords here and not in the English lists of zxcvbn.
COMMON_HERE = ("switchyard", "passwort", "motdepasse", "contrasena")
# zxcvbn tries every reading of symbols as letters (p@55), which takes seconds for long texts of many symbols.
LONGEST_READ, LONGEST_READ_OF_SYMBOLS, MANY_SYMBOLS = 72, 24, 8
# Its own thread, because it may take 0.2 s, and only one, because zxcvbn keeps the user's words in a global.
_GUESSER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="password")


async def password_problem(password: str, email: str = "", name: str = "") -> str:
    """Why a password is refused, as a message; "" when it is acceptable. It has to be long and hard to guess,
    also for someone who knows the user's email and name; kinds of characters don't matter."""
    if len(password) < SHORTEST:
        return f"Use at least {SHORTEST} characters; a few words together are easy to remember."
    if len(password) > LONGEST:
        return f"Use at most {LONGEST} characters."
    own_words = [email, email.partition("@")[0], *_words(email), *_words(name)]
    return await asyncio.get_running_loop().run_in_executor(_GUESSER, _guessing_problem, password, own_words)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\W_]+", text) if len(word) > 2]


def _guessing_problem(password: str, own_words: list[str]) -> str:
    from zxcvbn import zxcvbn  # 13 MB of words, only for processes in which somebody chooses a password

    many = len({char for char in password if not char.isalpha()}) > MANY_SYMBOLS
    readable = password[: LONGEST_READ_OF_SYMBOLS if many else LONGEST_READ]
    result = zxcvbn(readable, [*own_words, *COMMON_HERE])
    if result["guesses"] >= FEWEST_GUESSES:
        return ""
    origins = {match.get("matched_word", ""): match.get("dictionary_name") for match in result["sequence"]}
    if any(origin == "user_inputs" and word not in COMMON_HERE for word, origin in origins.items()):
        return "This is too close to your name or email address. Choose another password."
    if any(origin == "passwords" or word in COMMON_HERE for word, origin in origins.items()):
        return "This is too close to a common password. Use three or more words that don't belong together."
    return "This is too easy to guess. Use three or more words that don't belong together."


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
