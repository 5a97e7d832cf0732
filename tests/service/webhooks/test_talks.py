"""A channel's conversation keeps its session; a message that was sent before a crash is not sent twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.auth import Caller
from service.kit import Kit
from service.webhooks.talks import SCOPES, Talk, Talks
from tests.fake_kit import make_kit
from tests.intruder import between
from tests.service.fake_support import FakeSupport

CALLER = Caller(tenant="acme", key_id="channel:slack", scopes=SCOPES)


@pytest.fixture
def support() -> FakeSupport:
    return FakeSupport()


@pytest.fixture
def kit(tmp_path: Path, support: FakeSupport) -> Kit:
    return make_kit(tmp_path, {"support": support.vertical()})


@pytest.fixture
def talks(kit: Kit) -> Talks:
    return Talks(kit)


def talk(talks: Talks, conversation: str = "c1") -> Talk:
    return talks.open("slack", conversation, caller=CALLER, request_id="r1")


def test_a_conversation_keeps_its_session(talks: Talks) -> None:
    assert talk(talks).session_id == talk(talks).session_id
    assert talk(talks, "c2").session_id != talk(talks).session_id


def test_a_message_that_was_answered_before_a_crash_is_not_sent_twice(talks: Talks, support: FakeSupport) -> None:
    first = talk(talks).answer("hello")

    again = talk(talks).answer("hello", is_retry=True)

    assert again == first
    assert [len(said) for said in support.talks.values()] == [2]


def test_a_message_that_never_arrived_is_sent_by_the_retry(talks: Talks, support: FakeSupport) -> None:
    talk(talks).answer("hello")

    assert talk(talks).answer("and now?", is_retry=True).text == "You said: and now?"


def test_two_first_messages_that_come_at_once_are_of_one_session(kit: Kit, talks: Talks) -> None:
    opened = []

    def open_one() -> None:
        opened.append(talk(talks).session_id)

    with between(kit.sessions.kw["bind"], open_one, before="INSERT INTO channel_talks"):
        open_one()

    assert len({*opened, talk(talks).session_id}) == 1
