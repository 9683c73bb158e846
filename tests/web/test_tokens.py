"""Invalid tokens, and keys that rotate without signing any member out."""

import base64
import json
import stat
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.web.signing_keys import KeyRing, rotate, thumbprint
from app.web.tokens import BadToken, Tokens
from tests.support.web_kit import JSON, Kit, shared_keys

STRANGER = generate_private_key(public_exponent=65537, key_size=2048)


def claims(kit: Kit, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    people = kit.people
    payload = {
        "iss": kit.settings.base_url, "aud": "switchyard", "sub": str(people.users[people.owner]),
        "sid": str(people.owner), "account_id": str(people.account), "jti": "1", "iat": now, "exp": now + 60,
    }  # fmt: skip
    return {name: value for name, value in {**payload, **changes}.items() if value is not None}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(kit: Kit, name: str) -> str:
    """A token that must not open anything, by the name of what is wrong with it."""
    kid, key = kit.keys.signing()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = jwt.encode(claims(kit), key, algorithm="RS256", headers={"kid": kid})
    head, body, signature = good.split(".")

    def signed(headers: dict[str, Any] | None = None, with_key: Any = key, **changes: Any) -> str:
        return jwt.encode(
            claims(kit, **changes), with_key, algorithm="RS256", headers=headers or {"kid": kid}
        )

    def shared_secret(secret: bytes) -> str:
        import hashlib
        import hmac

        text = f"{part({'alg': 'HS256', 'kid': kid, 'typ': 'JWT'})}.{body}"
        mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
        return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return {
        "no algorithm": f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        "no algorithm, signed": f"{part({'alg': 'None', 'kid': kid})}.{body}.{signature}",
        "public key as a shared secret": shared_secret(public),
        "empty shared secret": shared_secret(b""),
        "another algorithm": jwt.encode(claims(kit), key, algorithm="RS384", headers={"kid": kid}),
        "unknown key": signed({"kid": "nobody"}, STRANGER),
        "stranger under our key's name": signed(with_key=STRANGER),
        "no key named": jwt.encode(claims(kit), key, algorithm="RS256"),
        "path as key name": signed({"kid": "../../dev/null"}),
        "statement as key name": signed({"kid": "' or 1=1 --"}),
        "its own key": signed(
            {"kid": "x", "jwk": jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key(), as_dict=True)},
            STRANGER,
        ),
        "a key from elsewhere": signed({"kid": "x", "jku": "https://evil.example/jwks.json"}, STRANGER),
        "expired": signed(exp=int(time.time()) - 1),
        "no expiry": signed(exp=None),
        "no session": signed(sid=None),
        "no account": signed(account_id=None),
        "another audience": signed(aud="elsewhere"),
        "another issuer": signed(iss="https://elsewhere.example"),
        "from the future": signed(iat=int(time.time()) + 3600),
        "another person": signed(sub=str(uuid4())),
        "another session": signed(sid=str(uuid4())),
        "another account": signed(account_id=str(uuid4())),
        "session is no id": signed(sid="1"),
        "changed body": f"{head}.{part(claims(kit, account_id=str(uuid4())))}.{signature}",
        "cut": good[:-10],
        "two parts": f"{head}.{body}",
        "nonsense": "nonsense",
        "empty": "",
    }[name]


NAMES = [
    "no algorithm", "no algorithm, signed", "public key as a shared secret", "empty shared secret",
    "another algorithm", "unknown key", "stranger under our key's name", "no key named", "path as key name",
    "statement as key name", "its own key", "a key from elsewhere", "expired", "no expiry", "no session",
    "no account", "another audience", "another issuer", "from the future", "another person",
    "another session",
    "another account", "session is no id", "changed body", "cut", "two parts", "nonsense", "empty",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_invalid_tokens_are_refused(tmp_path: Path, name: str) -> None:
    kit = Kit(tmp_path)
    token = forged(kit, name)
    async with kit.client() as client:
        header = await client.get("/things/new", headers=JSON | {"authorization": f"Bearer {token}"})
        cookie = await client.get("/things/new", headers=JSON | {"cookie": f"{kit.cookies.token}={token}"})
    assert (header.status_code, cookie.status_code) == (401, 401)
    assert token == "" or token not in header.text


async def test_token_in_the_url_is_ignored(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    async with kit.client() as client:
        for name in ("token", "access_token", "jwt"):
            answer = await client.get(f"/things/new?{name}={kit.token()}", headers=JSON)
            assert answer.status_code == 401


def test_a_token_that_was_checked_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(shared_keys(), "https://a.example")
    token = tokens.issue(uuid4(), uuid4(), uuid4(), lifetime=60)
    assert tokens.read(token) is tokens.read(token)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(BadToken) as refused:
        tokens.read(token)
    assert refused.value.renewable


def test_token_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.tokens.REMEMBERED", 4)
    tokens = Tokens(shared_keys(), "https://a.example")
    for _ in range(9):
        tokens.read(tokens.issue(uuid4(), uuid4(), uuid4()))
    assert len(tokens._claims) <= 4


def test_keys_are_created_once_privately_and_rotate_without_a_restart(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    tokens = Tokens(ring, "https://a.example")
    old = tokens.issue(uuid4(), uuid4(), uuid4())
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert KeyRing(tmp_path).signing()[0] == ring.signing()[0], "a second process uses the same key"

    fresh = rotate(tmp_path / "keys")
    elsewhere = Tokens(KeyRing(tmp_path), "https://a.example")
    new = elsewhere.issue(uuid4(), uuid4(), uuid4())
    assert jwt.get_unverified_header(new)["kid"] == fresh
    ring._read_at -= 2
    assert tokens.read(new).jti, "an unknown key id makes a running process look again"
    assert elsewhere.read(old).jti, "the old key still verifies"
    assert {key["kid"] for key in ring.jwks()["keys"]} == set(ring.public)
    assert len(ring.public) == 2


def test_the_key_set_shows_public_parts_only(tmp_path: Path) -> None:
    (key,) = KeyRing(tmp_path).jwks()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert key["alg"] == "RS256"


def test_the_thumbprint_is_the_one_of_the_rfc() -> None:
    """The example of RFC 7638, section 3.1."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZC"
        "iFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgn"
        "Yb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw"
        "0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = jwt.algorithms.RSAAlgorithm.from_jwk({"kty": "RSA", "n": n, "e": "AQAB"})
    assert isinstance(key, RSAPublicKey)
    assert thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_setting_without_a_key_is_one_sentence(tmp_path: Path, text: str) -> None:
    if not text:
        assert KeyRing(tmp_path, text).signing()
        return
    with pytest.raises(SystemExit, match="signing key can't be read"):
        KeyRing(tmp_path, text).signing()


def test_keys_may_come_from_the_setting(tmp_path: Path) -> None:
    for _ in range(2):
        rotate(tmp_path / "keys")
    newest_first = sorted((tmp_path / "keys").glob("*.pem"), reverse=True)
    text = "".join(file.read_text() for file in newest_first).replace("\n", "\\n")
    ring = KeyRing(tmp_path / "other", text)
    assert ring.signing()[0] == KeyRing(tmp_path).signing()[0], "the newest signs"
    assert len(ring.public) == 2
