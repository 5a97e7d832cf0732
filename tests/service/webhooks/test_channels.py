"""Each platform's requests are proven and read; what is not a customer's message is left alone."""

from __future__ import annotations

import httpx
import pytest

from service.webhooks.channels import IGNORED, Channel, Immediate, Inbound, Reply
from service.webhooks.chatwoot import ChatwootChannel
from service.webhooks.events import EventSender
from service.webhooks.generic import GenericChannel
from service.webhooks.signatures import BadSignature
from service.webhooks.slack import SlackChannel
from tests.service.webhooks import platforms
from tests.service.webhooks.platforms import Signed
from verticals.contract import InvalidInput, Unavailable

NOW = 1_700_000_000.0


class Sink:
    """Takes requests in place of a platform."""

    def __init__(self, status: int = 200, body: str = '{"ok": true}') -> None:
        self.requests: list[httpx.Request] = []
        self._answer = httpx.Response(status, text=body, headers={"location": "http://inside/"})
        self.client = httpx.Client(transport=httpx.MockTransport(self._take))

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer


def channels(sink: Sink) -> dict[str, Channel]:
    events = EventSender("http://shop/events", secret=platforms.EVENTS_SECRET, client=sink.client, now=lambda: NOW)
    slack = {"signing_secret": platforms.SLACK_SECRET, "bot_token": "xoxb-1", "api_url": "http://slack/api"}
    chatwoot = {"secret": platforms.CHATWOOT_SECRET, "token": "bot-token", "url": "http://chatwoot/"}
    return {
        "generic": GenericChannel(secret=platforms.SECRET, events=events),
        "slack": SlackChannel(client=sink.client, **slack),
        "chatwoot": ChatwootChannel(client=sink.client, **chatwoot),
    }


def receive(name: str, signed: Signed, *, now: float = NOW) -> Inbound | Immediate:
    return channels(Sink())[name].receive(signed.headers, signed.body, now=now)


SIGNED = [
    ("generic", platforms.generic(NOW)),
    ("slack", platforms.slack(NOW)),
    ("chatwoot", platforms.chatwoot(NOW)),
]


@pytest.mark.parametrize(("name", "signed"), SIGNED)
def test_a_message_is_read(name: str, signed: Signed) -> None:
    found = receive(name, signed)

    assert isinstance(found, Inbound)
    assert found.text == "hello"


@pytest.mark.parametrize(("name", "signed"), SIGNED)
def test_a_request_that_is_changed_old_or_unsigned_is_refused(name: str, signed: Signed) -> None:
    with pytest.raises(BadSignature):
        receive(name, Signed(signed.body.replace(b"hello", b"hullo"), signed.headers))
    with pytest.raises(BadSignature):
        receive(name, signed, now=NOW + 301)
    with pytest.raises(BadSignature):
        receive(name, Signed(signed.body, {}))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'"x"'])
def test_a_signed_body_that_is_broken_is_refused_without_repeating_it(body: bytes) -> None:
    headers = platforms.sign_standard(platforms.SECRET, message_id="m", body=body, now=NOW)

    with pytest.raises(InvalidInput) as refusal:
        receive("generic", Signed(body, headers))
    assert refusal.value.field is not None


def test_unknown_fields_of_a_generic_message_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="colour"):
        receive("generic", platforms.generic(NOW, colour="mauve"))


def test_slacks_handshake_is_answered() -> None:
    signed = platforms.slack_raw(NOW, {"type": "url_verification", "challenge": "abc", "token": "x"})

    assert receive("slack", signed) == Immediate({"challenge": "abc"})


@pytest.mark.parametrize(
    "event",
    [
        {"bot_id": "B1"},
        {"subtype": "message_changed"},
        {"channel_type": "channel"},
        {"type": "reaction_added"},
        {"text": "<@U1> "},
    ],
)
def test_what_is_no_message_to_the_bot_in_slack_is_ignored(event: dict[str, str]) -> None:
    assert receive("slack", platforms.slack(NOW, **event)) is IGNORED


def test_a_mention_in_slack_is_answered_in_its_thread() -> None:
    found = receive(
        "slack", platforms.slack(NOW, type="app_mention", channel="C1", channel_type="channel", text="<@B> a &lt; b")
    )

    assert isinstance(found, Inbound)
    assert (found.text, found.address) == ("a < b", {"channel": "C1", "thread_ts": "1.2"})


@pytest.mark.parametrize(
    "event",
    [
        {"message_type": "outgoing"},
        {"private": True},
        {"content": None},
        {"event": "conversation_status_changed"},
        {"event": "webwidget_triggered", "id": "w", "conversation": None},
        {"status": "open"},
    ],
)
def test_what_is_not_the_bots_turn_in_chatwoot_is_ignored(event: dict[str, object]) -> None:
    assert receive("chatwoot", platforms.chatwoot(NOW, **event)) is IGNORED  # type: ignore[arg-type]


REPLIES = {
    "generic": {"conversation_id": "c1"},
    "slack": {"channel": "D1"},
    "chatwoot": {"account": 3, "conversation": 5},
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_receiver_that_fails_or_redirects_is_tried_again_and_never_followed(name: str) -> None:
    for status in (500, 302, 404):
        sink = Sink(status)
        with pytest.raises(Unavailable, match=f"answers {status}"):
            channels(sink)[name].send(Reply("r1", REPLIES[name], "hi", hand_over=False))
        assert len(sink.requests) == 1


def test_slacks_refusal_with_status_200_is_a_failure() -> None:
    with pytest.raises(Unavailable, match="Slack does not take"):
        channels(Sink(body='{"ok": false}'))["slack"].send(Reply("r1", {"channel": "D1"}, "hi", hand_over=False))


def test_a_hand_over_opens_the_conversation_in_chatwoot() -> None:
    sink = Sink()

    channels(sink)["chatwoot"].send(Reply("r1", REPLIES["chatwoot"], "hi", hand_over=True))

    base = "http://chatwoot/api/v1/accounts/3/conversations/5"
    assert [str(request.url) for request in sink.requests] == [f"{base}/toggle_status", f"{base}/messages"]
    assert sink.requests[0].headers["api_access_token"] == "bot-token"
