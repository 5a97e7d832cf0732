"""Consent is the customer's own, to today's wording, and gone when taken back; without it no signal is read."""

from __future__ import annotations

import json

import pytest

from tests.verticals.support.world import ADA, BEN, World
from verticals.contract import Conflict, NotFound, PermissionDenied, Unavailable, UploadedFile
from verticals.support import schemas as s
from verticals.support.consents import WORDING_VERSION, ConsentDesk
from verticals.support.schemas import Modality, Tone
from verticals.support.signal_handlers import SignalHandlers

VOICE = s.GiveConsentRequest(modality=Modality.VOICE, wording_version=WORDING_VERSION)


class Ear:
    """Hears anger in everything."""

    model_version = "ear-1"

    def read(self, signal: bytes) -> dict[Tone, float]:
        return {Tone.ANGRY: 1.0}


class Said:
    """A dialogue that keeps what it was sent."""

    def send(self, request: s.SendMessageRequest, context: object, *, signals: object) -> object:
        return request, signals


def _listed(world: World, customer: str | None = ADA) -> s.ConsentPage:
    page: s.ConsentPage = world.call("list_consents", s.ListConsentsRequest(), who=world.key(customer))
    return page


def _with_voice(session: str, content: str = "Where is my order?") -> s.SendSignalRequest:
    sound = UploadedFile(filename="a.wav", content=b"sound")
    return s.SendSignalRequest(session_id=session, content=content, modality=Modality.VOICE, signal=sound)


def test_a_yes_is_kept_once_and_audited_without_saying_whose(world: World) -> None:
    given = world.call("give_consent", VOICE, who=world.key())
    again = world.call("give_consent", VOICE, who=world.key())

    assert given == again
    assert _listed(world).consents == [given]
    assert _listed(world, BEN).consents == []
    (decision,) = [d for d in world.trail.decisions if d.kind == "support.consent"]
    assert decision.outcome == {"step": "give", "modality": "voice", "wording_version": WORDING_VERSION}
    assert ADA not in str(decision)


def test_what_may_be_agreed_to_is_said_in_words(world: World) -> None:
    wordings = _listed(world).wordings

    assert {wording.modality for wording in wordings} == set(Modality)
    assert all("never changes what I am entitled to" in wording.text for wording in wordings)


def test_an_old_wording_is_no_consent(world: World) -> None:
    old = s.GiveConsentRequest(modality=Modality.VOICE, wording_version="2019-01")

    with pytest.raises(Conflict, match="Show the customer today's wording"):
        world.call("give_consent", old, who=world.key())
    assert _listed(world).consents == []


def test_staff_cannot_agree_for_a_customer(world: World) -> None:
    for operation, request in (("give_consent", VOICE), ("list_consents", s.ListConsentsRequest())):
        with pytest.raises(PermissionDenied, match="the customer's own"):
            world.call(operation, request)


def test_a_withdrawn_consent_stays_on_record_and_holds_no_more(world: World) -> None:
    world.call("give_consent", VOICE, who=world.key())

    world.call("withdraw_consent", s.ConsentRequest(modality=Modality.VOICE), who=world.key())

    (kept,) = _listed(world).consents
    assert kept.withdrawn_at is not None
    with pytest.raises(NotFound, match=r"no consent holds.*Nothing needs to be withdrawn"):
        world.call("withdraw_consent", s.ConsentRequest(modality=Modality.VOICE), who=world.key())
    world.call("give_consent", VOICE, who=world.key())
    assert [one.withdrawn_at is None for one in _listed(world).consents] == [False, True]


def test_a_signal_without_consent_is_refused_before_its_message_is_stored(world: World) -> None:
    session = world.begin()

    with pytest.raises(PermissionDenied, match="no recorded consent"):
        world.call("send_signal", _with_voice(session), who=world.key())
    assert world.history(session).num_messages == 0


def test_with_consent_and_without_a_model_none_is_available(world: World) -> None:
    session = world.begin()
    world.call("give_consent", VOICE, who=world.key())

    with pytest.raises(Unavailable, match="no model available"):
        world.call("send_signal", _with_voice(session), who=world.key())
    assert world.history(session).num_messages == 0


def test_with_both_the_message_is_sent_with_what_was_heard(world: World) -> None:
    world.call("give_consent", VOICE, who=world.key())
    handlers = SignalHandlers(ConsentDesk(world.sessions), Said(), {Modality.VOICE: Ear()})  # type: ignore[arg-type]

    request, signals = handlers.send_signal(_with_voice("s-1"), world.key())  # type: ignore[misc]

    assert request == s.SendMessageRequest(session_id="s-1", content="Where is my order?")
    assert signals == {Modality.VOICE: {Tone.ANGRY: 1.0}}


def test_consents_are_exported_and_forgotten_with_the_memory(world: World) -> None:
    world.call("give_consent", VOICE, who=world.key())

    exported = json.loads(world.call("export_memory", s.CustomerRequest(), who=world.key()).content)
    assert [one["modality"] for one in exported["consents"]] == ["voice"]
    world.call("forget_memory", s.ForgetMemoryRequest(), who=world.key())

    assert _listed(world).consents == []
