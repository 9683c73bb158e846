"""The RS256 keys that sign tokens, named by their RFC 7638 thumbprint.

The first run creates a key. The newest key signs, and every key in the folder verifies, so a rotation does
not sign members out."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from jwt.algorithms import RSAAlgorithm

LOOK_AGAIN_SECONDS = 5.0
PEM_END = "-----END PRIVATE KEY-----"


class KeyRing:
    """The keys in a data directory, or in the setting SIGNING_KEYS (PEM blocks, the newest first)."""

    def __init__(self, folder: Path, setting: str = "") -> None:
        self.folder = folder / "keys"
        self.setting = setting.replace("\\n", "\n")
        self.public: dict[str, RSAPublicKey] = {}
        self._signing: tuple[str, RSAPrivateKey] | None = None
        self._read_at = -LOOK_AGAIN_SECONDS
        self._stamp: object = None

    def signing(self) -> tuple[str, RSAPrivateKey]:
        """The current signing key and its id. Creates the first key if there is none. Raises `SystemExit`
        when no key can be read."""
        self._look()
        if self._signing is None:
            if self.setting:
                raise SystemExit("SIGNING_KEYS contains no private key in PEM format.")
            rotate(self.folder)
            self._look(now=True)
        if self._signing is None:
            raise SystemExit(f"Can't create a signing key in {self.folder}.")
        return self._signing

    def find(self, kid: str) -> RSAPublicKey | None:
        """The public key with this id; reads the folder again for an unknown id."""
        self._look()
        if kid not in self.public:
            self._look(now=time.monotonic() - self._read_at > 1)
        return self.public.get(kid)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JSON Web Key Set."""
        self.signing()
        return {"keys": [jwk(kid, key) for kid, key in self.public.items()]}

    def _look(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._read_at < LOOK_AGAIN_SECONDS:
            return
        self._read_at = time.monotonic()
        files = sorted(self.folder.glob("*.pem")) if not self.setting else []
        stamp = [(file.name, file.stat().st_mtime_ns) for file in files]
        if self._signing is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        in_setting = reversed(split_pem_blocks(self.setting))
        texts = in_setting if self.setting else [file.read_text() for file in files]
        self._use([load_private_key(text) for text in texts])

    def _use(self, keys: list[RSAPrivateKey]) -> None:
        """Verifies by these keys, and signs with the last."""
        keys_by_id = [(thumbprint(key.public_key()), key) for key in keys]
        self.public = {kid: key.public_key() for kid, key in keys_by_id}
        self._signing = keys_by_id[-1] if keys_by_id else None


def rotate(folder: Path) -> str:
    """Creates a new signing key, in a file that only this user can read; returns its id. Older keys still
    verify."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    kid = thumbprint(key.public_key())
    path = folder / f"{time.time_ns():020d}-{kid[:8]}.pem"
    part = path.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    part.rename(path)
    return kid


def split_pem_blocks(text: str) -> list[str]:
    """The PEM blocks of a setting."""
    return [block.strip() + "\n" + PEM_END for block in text.split(PEM_END) if block.strip()]


def load_private_key(text: str) -> RSAPrivateKey:
    """The private key of a PEM block. Raises `SystemExit` unless it is an RSA key of at least 2048 bits."""
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise SystemExit(
            "A signing key can't be read. It must be an RSA private key in PEM format."
        ) from error
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise SystemExit("A signing key must be RSA with at least 2048 bits.")
    return key


def jwk(kid: str, key: RSAPublicKey) -> dict[str, str]:
    """One public key as a JSON Web Key."""
    return {**_numbers(key), "kid": kid, "use": "sig", "alg": "RS256"}


def thumbprint(key: RSAPublicKey) -> str:
    """The thumbprint of RFC 7638: the SHA-256 of the required members in order, as base64url."""
    canonical = json.dumps(_numbers(key), sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _numbers(key: RSAPublicKey) -> dict[str, str]:
    full = RSAAlgorithm.to_jwk(key, as_dict=True)
    return {name: full[name] for name in ("e", "kty", "n")}
