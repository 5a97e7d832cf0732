"""Only who knows the secret is heard, and only for five minutes."""

from __future__ import annotations

import pytest

from service.webhooks.signatures import BadSignature, sign_standard, verify_standard

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def test_the_published_example_of_standard_webhooks_is_met() -> None:
    headers = sign_standard(SECRET, message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", body=BODY, now=1614265330)

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signed_body_is_believed_also_beside_an_older_signature() -> None:
    headers = sign_standard(SECRET, message_id="m1", body=BODY, now=1000)
    headers["webhook-signature"] = f"v1,b2xk {headers['webhook-signature']}"

    assert verify_standard(SECRET, headers=headers, body=BODY, now=1299) == "m1"


@pytest.mark.parametrize(
    ("changed", "body", "now"),
    [
        ({}, BODY + b" ", 1000),
        ({}, BODY, 1301),
        ({}, BODY, 699),
        ({"webhook-id": "m2"}, BODY, 1000),
        ({"webhook-timestamp": "1001"}, BODY, 1000),
        ({"webhook-timestamp": "soon"}, BODY, 1000),
        ({"webhook-signature": ""}, BODY, 1000),
        ({"webhook-signature": "v1,ünï"}, BODY, 1000),
    ],
)
def test_a_changed_or_old_request_is_refused(changed: dict[str, str], body: bytes, now: float) -> None:
    headers = sign_standard(SECRET, message_id="m1", body=BODY, now=1000) | changed

    with pytest.raises(BadSignature, match="not signed with this channel's secret"):
        verify_standard(SECRET, headers=headers, body=body, now=now)
