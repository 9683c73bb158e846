"""Tokens of unsubscribe links. A token is the account and the contact, encrypted and authenticated with
AES-SIV (RFC 5297): it is the same for every attempt of an email, reveals no name, and cannot be guessed.

Emails are kept for years, so the key is in the database, apart from the signing keys: rotating those, or
restoring a backup without them, breaks no link."""

import base64
import binascii
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from app.runtime import Runtime
from db.queries.engine_state import read_link_key

PATH = "/unsubscribe/"
PURPOSE = [b"unsubscribe:email:1"]
TOKEN_LENGTH = 64  # 16 bytes of tag and two ids, as base64


def token_of(key: bytes, account_id: UUID, contact_id: UUID) -> str:
    """The token of one contact."""
    sealed = AESSIV(key).encrypt(account_id.bytes + contact_id.bytes, PURPOSE)
    return base64.urlsafe_b64encode(sealed).decode()


def read_token(key: bytes, token: str) -> tuple[UUID, UUID] | None:
    """Account and contact of a genuine token; None for anything else."""
    if len(token) != TOKEN_LENGTH:
        return None
    try:
        plain = AESSIV(key).decrypt(base64.b64decode(token, altchars=b"-_", validate=True), PURPOSE)
    except (InvalidTag, binascii.Error, ValueError):
        return None
    return UUID(bytes=plain[:16]), UUID(bytes=plain[16:])


async def link_key(runtime: Runtime) -> bytes:
    """The key of this installation, read once in the life of a process."""
    if not runtime.link_keys:
        async with runtime.sessions() as session:
            key = await read_link_key(session)
        runtime.link_keys.append(key)
    return runtime.link_keys[0]


def link_of(base_url: str, key: bytes, account_id: UUID, contact_id: UUID) -> str:
    """The address that a contact follows."""
    return f"{base_url.rstrip('/')}{PATH}{token_of(key, account_id, contact_id)}"
