"""Voice and face are read only with a recorded consent and a model; text outweighs either."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from verticals.contract import InvalidInput, PermissionDenied, Unavailable
from verticals.support.schemas import Modality, Tone
from verticals.support.understanding.signals import Consent, SignalReader, fuse
from verticals.support.understanding.tone import strongest

NOW = datetime(2026, 5, 1, tzinfo=UTC)
YES = Consent("ana", Modality.VOICE, "1", given_at=NOW - timedelta(days=1))


class Recorded:
    """Consents in a list."""

    def __init__(self, *consents: Consent) -> None:
        self._consents = consents

    def find(self, customer_id: str, modality: Modality) -> list[Consent]:
        return list(self._consents)


class Ear:
    """Hears anger in every signal but the broken one."""

    model_version = "ear-1"

    def read(self, signal: bytes) -> dict[Tone, float]:
        if signal == b"broken":
            raise ValueError("signal: no sound in it")
        return {Tone.ANGRY: 1.0}


def test_with_consent_and_a_model_a_signal_is_read() -> None:
    reader = SignalReader(Recorded(YES), {Modality.VOICE: Ear()})

    assert reader.read(b"sound", Modality.VOICE, customer_id="ana", at=NOW) == {Tone.ANGRY: 1.0}


@pytest.mark.parametrize(
    "consents",
    [
        (),
        (Consent("ben", Modality.VOICE, "1", given_at=YES.given_at),),
        (Consent("ana", Modality.FACE, "1", given_at=YES.given_at),),
        (Consent("ana", Modality.VOICE, "1", given_at=NOW + timedelta(seconds=1)),),
        (Consent("ana", Modality.VOICE, "1", given_at=YES.given_at, withdrawn_at=NOW),),
    ],
    ids=["none", "another customer's", "another modality", "later", "withdrawn"],
)
def test_without_a_consent_that_covers_it_a_signal_is_refused(consents: tuple[Consent, ...]) -> None:
    reader = SignalReader(Recorded(*consents), {Modality.VOICE: Ear()})

    with pytest.raises(PermissionDenied, match="no recorded consent to reading tone from voice"):
        reader.read(b"sound", Modality.VOICE, customer_id="ana", at=NOW)


def test_without_a_model_the_answer_is_no_model_available() -> None:
    reader = SignalReader(Recorded(YES), {})

    with pytest.raises(Unavailable, match="no model available"):
        reader.read(b"sound", Modality.VOICE, customer_id="ana", at=NOW)


@pytest.mark.parametrize(("signal", "message"), [(b"", "must not be empty"), (b"broken", "no sound in it")])
def test_an_unreadable_signal_is_the_senders_error(signal: bytes, message: str) -> None:
    reader = SignalReader(Recorded(YES), {Modality.VOICE: Ear()})

    with pytest.raises(InvalidInput, match=message):
        reader.read(signal, Modality.VOICE, customer_id="ana", at=NOW)


def test_one_signal_alone_does_not_overrule_the_text() -> None:
    calm = {Tone.CALM: 1.0}

    assert strongest(fuse(calm, {Modality.VOICE: {Tone.ANGRY: 1.0}})) is Tone.CALM
    assert strongest(fuse({Tone.CALM: 0.5, Tone.ANGRY: 0.5}, {Modality.VOICE: {Tone.ANGRY: 1.0}})) is Tone.ANGRY
    assert fuse(calm, {})[Tone.CALM] == 1
