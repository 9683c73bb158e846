"""Checks a delivery: its signature (Standard Webhooks), its nesting, and its idempotency key. Pure."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

PREFIX, SECRET_PREFIX = "wh_", "whsec_"
TOLERANCE = timedelta(minutes=5)
# How long repeats of a delivery are recognized.
REMEMBERED = timedelta(days=30)
LONGEST_ID = 255
DEEPEST = 100


class BadSignature(ValueError):
    """The delivery is not signed as required; the message says how to sign it."""


def too_deep(body: object) -> bool:
    """Whether lists and objects are nested more than `DEEPEST` levels deep. Later functions recurse once per
    level."""
    level = [body]
    for _ in range(DEEPEST):
        level = [child for item in level for child in _children(item)]
    return any(isinstance(item, dict | list) for item in level)


def _children(item: object) -> Iterable[object]:
    if isinstance(item, dict):
        return item.values()
    return item if isinstance(item, list) else ()


def secret_text(key: bytes) -> str:
    """A signing key in the format that senders use."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def signature(key: bytes, delivery: str, timestamp: str, body: bytes) -> str:
    """The expected value of `webhook-signature`: `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`."""
    signed = b".".join((delivery.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def check_signature(key: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raises `BadSignature` for a missing or wrong signature, or a timestamp more than five minutes off.
    `headers` are by lower-case name."""
    delivery, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    if not (delivery and timestamp and signatures):
        raise BadSignature(
            "This URL accepts only signed deliveries. Send webhook-id, webhook-timestamp and "
            "webhook-signature (Standard Webhooks)."
        )
    try:
        at = datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise BadSignature("webhook-timestamp must be seconds since 1970.") from None
    if abs(now - at) > TOLERANCE:
        raise BadSignature("webhook-timestamp is more than five minutes off.")
    expected = signature(key, delivery, timestamp, body).encode()
    # All candidates are compared, so that the response time reveals nothing.
    matches = [hmac.compare_digest(candidate.encode(), expected) for candidate in signatures.split(" ")]
    if not any(matches):
        raise BadSignature("webhook-signature doesn't match the body and the secret.")


def delivery_id(headers: Mapping[str, str]) -> str:
    """The sender's id of a delivery: the header `webhook-id`, or `Idempotency-Key`; "" without both. An `id`
    in the body is ignored: it often identifies the subject, and two events about one subject must not count
    as one delivery."""
    sender_id = headers.get("webhook-id") or headers.get("idempotency-key") or ""
    return sender_id if len(sender_id) <= LONGEST_ID else hashlib.sha256(sender_id.encode()).hexdigest()


def key_of(secret: str) -> bytes:
    """The key of a secret in the senders' format. Raises ValueError."""
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("This isn't a valid signing secret.") from error
