"""Encrypts stored secrets that must be read again: `seal` and `unseal`.

The key is a file next to the signing keys, so a copy of the database alone reveals no secret."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE = "secrets.key"
KEY_BYTES, NONCE_BYTES = 32, 12


class Unreadable(Exception):
    """The stored secret was encrypted with another key, or was modified."""


def seal(data_dir: Path, plain: bytes, bound_to: bytes) -> bytes:
    """Nonce and ciphertext (AES-256-GCM); `unseal` accepts it only with the same `bound_to`."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(_key(data_dir)).encrypt(nonce, plain, bound_to)


def unseal(data_dir: Path, sealed: bytes, bound_to: bytes) -> bytes:
    """The secret in plain. Raises `Unreadable`, also for another `bound_to` than that of `seal`."""
    try:
        return AESGCM(_key(data_dir)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise Unreadable from error


def _key(data_dir: Path) -> bytes:
    """The key. The first process that needs it creates the file, readable only by this user."""
    path = data_dir / "keys" / FILE
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(part, path)  # fails if another process was faster
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_bytes()
