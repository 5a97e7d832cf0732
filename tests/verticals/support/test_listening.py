"""What is heard in a message chooses words and what to ask; nothing is heard where no reader reads the language."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from service.registry import FileRegistry
from tests.verticals.support.readers import FakeReader
from verticals.support.listening import (
    ACKNOWLEDGEMENTS,
    Listener,
    acknowledge,
    is_strange,
    is_thanks,
    open_listener,
    suggest,
)
from verticals.support.phrases import both
from verticals.support.schemas import Message, Modality, Tone, Understood
from verticals.support.understanding.messages import INTENTS

FURIOUS = FakeReader({"furious": Tone.ANGRY, "afraid": Tone.ANXIOUS})


def _talk(*texts: str) -> list[Message]:
    return [Message(role="assistant" if i % 2 else "user", content=text) for i, text in enumerate(texts)]


def test_a_message_is_heard_with_intent_scope_tone_and_emotions() -> None:
    heard = Listener(FURIOUS).hear("I am furious", {})

    assert heard == Understood(
        intent="product_question",
        confidence=0.9,
        in_scope=True,
        tone=Tone.ANGRY,
        tones={tone: float(tone is Tone.ANGRY) for tone in Tone},
        emotions={"angry": 0.8},
    )


@pytest.mark.parametrize("text", ["我的台灯坏了", "Где моя посылка?", "My lamp 坏了"])
def test_other_scripts_are_not_read_by_an_english_reader(text: str) -> None:
    assert Listener(FURIOUS).hear(text, {}) is None


def test_latin_letters_with_accents_are_read() -> None:
    assert Listener(FURIOUS).hear("My café table, naïve as I am: 20 € — “late”?", {}) is not None


def test_a_signal_changes_the_tone_of_the_text_alone_when_it_outweighs_it() -> None:
    calm = Listener(FURIOUS).hear("Where is it", {Modality.VOICE: {Tone.ANGRY: 1.0}})
    angry = Listener(FURIOUS).hear("Where is it", {Modality.VOICE: {Tone.ANGRY: 1.0}, Modality.FACE: {Tone.ANGRY: 1.0}})

    assert calm is not None
    assert (calm.tone, calm.tones[Tone.ANGRY]) == (Tone.CALM, pytest.approx(1 / 3))
    assert angry is not None
    assert angry.tones[Tone.ANGRY] == pytest.approx(1 / 2)


def test_the_mood_remembers_the_last_turns() -> None:
    listener = Listener(FURIOUS)

    assert listener.mood(_talk("I am furious", "Sorry", "A person please"), Tone.CALM) is Tone.ANGRY
    assert listener.mood(_talk("I am furious", "Sorry", "I am afraid"), Tone.ANXIOUS) is Tone.ANXIOUS
    assert listener.mood(_talk("Hello", "Hello", "A person please"), Tone.CALM) is Tone.CALM


def test_without_a_prepared_reader_the_log_says_once_what_to_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        listener = open_listener(FileRegistry(tmp_path))

    assert listener.hear("I am furious", {}) is None
    (record,) = caplog.records
    assert "by rules alone" in record.message
    assert "trivium prepare" in record.message


def test_a_damaged_reader_is_like_none(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)
    card = dict.fromkeys(("trained_on", "licence", "recipe", "limits"), "") | {"metrics": {}}
    registry.save(INTENTS, {"intents.safetensors": b"damaged"}, card)

    assert open_listener(registry).hear("I am furious", {}) is None


def _sure(intent: str, **more: object) -> Understood:
    return Understood.model_validate({"intent": intent, "confidence": 0.9, "in_scope": True, **more})


def test_a_sure_intent_stands_for_a_tool() -> None:
    assert suggest("any news of the sofa?", _sure("order_status")) == "order_status"
    assert suggest("it is too dark, take it away", _sure("return_item")) == "request_refund"
    assert suggest("new home next week", _sure("change_address")) == "change_address"


def test_doubt_strangers_and_questions_about_a_change_suggest_nothing() -> None:
    assert suggest("take it away", _sure("return_item", confidence=0.5)) is None
    assert suggest("take it away", _sure("return_item", in_scope=False)) is None
    assert suggest("can sale items be returned?", _sure("return_item")) is None
    assert suggest("how are gift cards sent", _sure("promotions_and_gift_cards")) is None
    assert suggest("take it away", None) is None


@pytest.mark.parametrize(
    ("text", "strange"),
    [
        ("Who won the world cup in 1998?", True),
        ("What should I do?", False),
        ("yes", False),
        ("it doesn't match my curtains", False),
        ("is it OK to return washed bedding", False),
    ],
)
def test_a_message_is_strange_on_its_own_feet_and_without_the_shops_words_alone(text: str, strange: bool) -> None:
    assert is_strange(text, _sure("product_question", in_scope=False)) == strange
    assert not is_strange(text, _sure("product_question"))
    assert not is_strange(text, None)


def test_a_kind_word_is_thanks_unless_it_asks_something() -> None:
    assert is_thanks("You are wonderful, really", _sure("small_talk", tone="happy"))
    assert not is_thanks("You are wonderful, but where is it?", _sure("small_talk", tone="happy"))
    assert not is_thanks("You are wonderful", _sure("return_item", tone="happy"))
    assert not is_thanks("You are a robot", _sure("small_talk"))


@pytest.mark.parametrize("tone", [Tone.ANGRY, Tone.SAD, Tone.ANXIOUS])
def test_anger_sadness_and_worry_are_acknowledged_and_not_again_in_the_last_turns(tone: Tone) -> None:
    assert acknowledge(_talk("It broke"), Understood(tone=tone)) == ACKNOWLEDGEMENTS[tone]
    for earlier in both(ACKNOWLEDGEMENTS[Tone.SAD]):
        assert acknowledge(_talk("It broke", f"{earlier} Which?", "MP-10001"), Understood(tone=tone)) == ""


@pytest.mark.parametrize("tone", [Tone.CALM, Tone.HAPPY])
def test_other_tones_need_no_word(tone: Tone) -> None:
    assert acknowledge(_talk("It broke"), Understood(tone=tone)) == ""


@pytest.mark.parametrize(
    ("emotions", "is_said"),
    [
        ({"annoyance": 0.7}, True),
        ({"disappointment": 0.7, "sadness": 0.4}, True),
        ({"disapproval": 0.8, "annoyance": 0.2}, False),  # "I don't like it, take it back"
        ({"disapproval": 0.6, "neutral": 0.6}, False),  # "no"
        ({"disappointment": 0.4, "neutral": 0.5}, False),  # "my points are missing"
        ({}, True),  # said in words, in Chinese
    ],
)
def test_frustration_is_acknowledged_where_it_is_felt_and_not_where_something_is_denied_or_reported(
    emotions: dict[str, float], is_said: bool
) -> None:
    words = acknowledge(_talk("It broke again"), Understood(tone=Tone.FRUSTRATED, emotions=emotions))

    assert words == (ACKNOWLEDGEMENTS[Tone.FRUSTRATED] if is_said else "")


def test_a_chinese_feeling_is_heard_without_a_reader() -> None:
    heard = Listener(None).hear("太过分了，我很生气！退款要多久？", {})

    assert heard == Understood(tone=Tone.ANGRY, tones={tone: float(tone is Tone.ANGRY) for tone in Tone})
