"""From a platform's signed request to the answer that it gets, over real servers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api import create_app
from service.kit import Kit
from service.webhooks.jobs import WebhookJob
from service.webhooks.signatures import verify_standard
from tests.conftest import served, wait_for
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport
from tests.service.webhooks import platforms
from tests.service.webhooks.platforms import Platform, Signed
from verticals.support.schemas import SessionState


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def support() -> FakeSupport:
    return FakeSupport()


@pytest.fixture
def kit(tmp_path: Path, platform: Platform, support: FakeSupport) -> Iterator[Kit]:
    with served(platform.app()) as url:
        yield make_kit(tmp_path, {"support": support.vertical()}, settings=platforms.settings(url))


@pytest.fixture
def client(kit: Kit) -> Iterator[httpx.Client]:
    with served(create_app(kit)) as url, httpx.Client(base_url=url, trust_env=False) as opened:
        yield opened


def send(client: httpx.Client, channel: str, signed: Signed) -> httpx.Response:
    return client.post(f"/webhooks/{channel}", content=signed.body, headers=signed.headers)


def test_slack_is_answered_with_the_memory_of_its_conversation(
    client: httpx.Client, platform: Platform, support: FakeSupport
) -> None:
    for number, text in enumerate(("my name is Ada", "what is it?")):
        answer = send(client, "slack", platforms.slack(time.time(), event_id=f"Ev{number}", text=text))
        assert answer.json() == {"status": "queued"}
        sent = wait_for(lambda n=number: platform.bodies("slack/chat.postMessage")[n:])

    assert sent == [{"channel": "D1", "text": "You said: what is it?"}]
    assert list(support.talks) == ["s-0"]
    assert len(support.talks["s-0"]) == 4


def test_a_chatwoot_bot_answers_and_hands_over(client: httpx.Client, platform: Platform) -> None:
    send(client, "chatwoot", platforms.chatwoot(time.time(), content="a person please"))

    base = "api/v1/accounts/3/conversations/5"
    (sent,) = wait_for(lambda: platform.bodies(f"{base}/messages"))
    assert sent == {"content": "You said: a person please", "message_type": "outgoing", "private": False}
    assert platform.bodies(f"{base}/toggle_status") == [{"status": "open"}]


def test_a_generic_message_is_answered_by_a_signed_event(client: httpx.Client, platform: Platform) -> None:
    send(client, "generic", platforms.generic(time.time()))

    wait_for(lambda: [event for event in platform.bodies("events") if event["type"] == "message.reply"])
    headers, body = next((headers, body) for _, headers, body in platform.got if b"message.reply" in body)
    assert json.loads(body)["data"] == {"conversation_id": "c1", "text": "You said: hello", "hand_over": False}
    assert verify_standard(platforms.EVENTS_SECRET, headers=headers, body=body, now=time.time())


def test_decisions_become_events_without_words(client: httpx.Client, kit: Kit, platform: Platform) -> None:
    key = kit.keys.issue(tenant="acme", label="test")
    other = kit.keys.issue(tenant="other", label="test")
    for bearer in (other, key):
        headers = {"Authorization": f"Bearer {bearer}"}
        body = {"sender": "visitor", "message": "a person, says Jane Doe"}
        client.post("/webhooks/rest/webhook", json=body, headers=headers)

    wait_for(lambda: len(platform.bodies("events")) >= 2)

    types = sorted(event["type"] for event in platform.bodies("events"))
    assert types == ["answer.created", "ticket.created"]  # none of the other tenant's
    assert not any(b"Jane" in body for _, _, body in platform.got)


def test_an_event_that_comes_twice_is_answered_once(client: httpx.Client, platform: Platform) -> None:
    signed = platforms.slack(time.time())

    statuses = [send(client, "slack", signed).json()["status"] for _ in range(3)]
    send(client, "slack", platforms.slack(time.time(), event_id="Ev2", text="bye"))

    wait_for(lambda: len(platform.bodies("slack/chat.postMessage")) >= 2)
    assert statuses == ["queued", "duplicate", "duplicate"]
    assert [body["text"] for body in platform.bodies("slack/chat.postMessage")] == ["You said: hello", "You said: bye"]


def test_an_answer_is_sent_again_and_not_made_again(
    client: httpx.Client, platform: Platform, support: FakeSupport
) -> None:
    platform.num_failures = 1

    send(client, "generic", platforms.generic(time.time()))

    replies = wait_for(
        lambda: (
            len([body for _, _, body in platform.got if b"message.reply" in body]) >= 1 and platform.num_failures == 0
        )
    )
    assert replies
    assert len(support.asked) == 1


@pytest.mark.parametrize(
    ("channel", "signed", "status"),
    [
        ("slack", platforms.slack(time.time(), secret="wrong"), 401),
        ("slack", platforms.slack(time.time() - 400), 401),
        ("chatwoot", platforms.chatwoot(time.time(), secret="wrong"), 401),
        ("generic", Signed(b"{}", {}), 401),
        ("generic", Signed(b"x" * 1_000_000, {}), 413),
        ("telegram", Signed(b"{}", {}), 404),
    ],
)
def test_a_request_that_is_not_the_platforms_is_refused(
    client: httpx.Client, support: FakeSupport, channel: str, signed: Signed, status: int
) -> None:
    refused = send(client, channel, signed)

    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert not support.asked


def test_a_message_that_cannot_be_answered_is_not_tried_again(
    client: httpx.Client, platform: Platform, kit: Kit
) -> None:
    send(client, "generic", platforms.generic(time.time(), text="\0"))
    send(client, "generic", platforms.generic(time.time(), event_id="evt-2", conversation_id="c2"))

    replies = wait_for(lambda: [e for e in platform.bodies("events") if e["type"] == "message.reply"])
    assert [reply["data"]["conversation_id"] for reply in replies] == ["c2"]
    with kit.sessions() as session:
        row = session.get(WebhookJob, ("in", "generic", "evt-1"))
        assert row is not None
        assert (row.status, row.attempts) == ("done", 1)


def test_the_agent_is_silent_while_a_person_has_the_session_and_a_closed_one_is_begun_anew(
    client: httpx.Client, kit: Kit, support: FakeSupport
) -> None:
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='test')}"}

    def ask(state: SessionState) -> object:
        support.state = state
        body = {"sender": "v1", "message": "hello"}
        return client.post("/webhooks/rest/webhook", json=body, headers=headers).json()

    answers = [ask(state) for state in (SessionState.BOT, SessionState.PERSON, SessionState.CLOSED)]

    assert [len(answer) for answer in answers] == [1, 0, 0]  # type: ignore[arg-type]
    assert [len(talk) for talk in support.talks.values()] == [3, 1]


def test_clients_of_rasa_get_its_form(client: httpx.Client, kit: Kit, support: FakeSupport) -> None:
    headers = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='test')}"}

    answers = [
        client.post("/webhooks/rest/webhook", json={"sender": "v1", "message": text}, headers=headers).json()
        for text in ("one", "two")
    ]

    assert answers[1] == [{"recipient_id": "v1", "text": "You said: two"}]
    assert [len(talk) for talk in support.talks.values()] == [4]
    assert client.post("/webhooks/rest/webhook", json={"sender": "v1", "message": "x"}).status_code == 401
    refused = client.post("/webhooks/rest/webhook", json={"sender": "v1"}, headers=headers)
    assert (refused.status_code, refused.json()["field"]) == (422, "message")
