"""Proof that a webhook comes from who knows the secret, and lately. Ignores what it says.

HMAC-SHA256 over the raw bytes, as Standard Webhooks (standardwebhooks.com), Slack and Chatwoot each put it together.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from verticals.contract import TriviumError

TOLERANCE_S = 300


class BadSignature(TriviumError):
    """The sender does not prove that it knows the secret, or the request is too old; which of them is not told."""

    status = 401
    title = "Bad signature"

    def __init__(self) -> None:
        super().__init__("the request is not signed with this channel's secret, or its time is off", field="signature")


def hmac_sha256(secret: bytes, *parts: bytes) -> bytes:
    """The code over `parts`, one after another."""
    return hmac.new(secret, b"".join(parts), hashlib.sha256).digest()


def check(*, expected: bytes, given: bytes, timestamp: str, now: float) -> None:
    """Compare in constant time, then look at the clock.

    Raises:
        BadSignature: they differ, or `timestamp` (seconds) is more than five minutes off.
    """
    if not hmac.compare_digest(expected, given) or not timestamp.isascii() or not timestamp.isdecimal():
        raise BadSignature
    if abs(now - int(timestamp[:20])) > TOLERANCE_S:
        raise BadSignature


def sign_standard(secret: str, *, message_id: str, body: bytes, now: float) -> dict[str, str]:
    """Standard Webhooks' headers for `body`; `secret` is `whsec_` and base64."""
    timestamp = str(int(now))
    signature = base64.b64encode(_standard(secret, message_id, timestamp, body)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}


def verify_standard(secret: str, *, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """The message's id, if one of its signatures is right (several while a secret is changed).

    Raises:
        BadSignature: none is, or it is too old.
    """
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    expected = b"v1," + base64.b64encode(_standard(secret, message_id, timestamp, body))
    given = headers.get("webhook-signature", "").encode().split(b" ")
    right = next((signature for signature in given if hmac.compare_digest(signature, expected)), b"")
    check(expected=expected, given=right, timestamp=timestamp, now=now)
    return message_id


def _standard(secret: str, message_id: str, timestamp: str, body: bytes) -> bytes:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return hmac_sha256(key, f"{message_id}.{timestamp}.".encode(), body)
