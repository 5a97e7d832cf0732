"""One message is read for intent and tone; the shop's intents are prepared once and found again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retrieval.bert import weights_sha256
from service.registry import FileRegistry
from verticals.contract import Unavailable
from verticals.support.schemas import Tone
from verticals.support.understanding.emotion import EmotionHead, EmotionModel
from verticals.support.understanding.encoder import TaskEncoder, TextReader
from verticals.support.understanding.intent import fit_intents
from verticals.support.understanding.messages import (
    INTENTS,
    OUT_OF_SCOPE,
    UTTERANCES,
    MessageReader,
    is_current,
    load_reader,
    load_utterances,
    prepare_intents,
)

TEXTS = ["where is my parcel", "parcel late", "money back please", "refund please"]


def make_reader(reader: TextReader, *, anger: float) -> MessageReader:
    """Two intents, and an emotion head that always finds anger with this probability; its threshold is 0.5."""
    vectors = TaskEncoder(reader, {"intent": None}).encode(TEXTS)["intent"]
    intents = fit_intents(TEXTS, ["delivery", "delivery", "refund", "refund"], vectors)
    bias = np.array([np.log(anger / (1 - anger)), -9], np.float32)
    head = EmotionHead(("anger", "joy"), np.zeros((2, 16), np.float32), bias, np.full(2, 0.5, np.float32))
    return MessageReader(reader, intents, EmotionModel(None, head, {}))


def test_a_message_has_an_intent_and_a_tone(reader: TextReader) -> None:
    read = make_reader(reader, anger=0.8).read("money back please")

    assert (read.intent.intent, read.tone) == ("refund", Tone.ANGRY)
    assert read.emotions == {"anger": pytest.approx(0.8)}


def test_emotions_below_their_thresholds_leave_a_message_calm(reader: TextReader) -> None:
    read = make_reader(reader, anger=0.49).read("parcel late")

    assert (read.tone, read.emotions) == (Tone.CALM, {})


def test_a_message_without_known_words_is_read(reader: TextReader) -> None:
    for text in ("", "\u9000\u8d27", "x" * 5_000):
        assert make_reader(reader, anger=0.1).read(text).intent.intent in ("delivery", "refund")


def test_the_first_line_of_the_utterances_names_their_licence() -> None:
    first = json.loads(UTTERANCES.read_text("utf-8").splitlines()[0])

    assert first["licence"] == "Apache-2.0"
    assert "by hand" in first["note"]


def test_train_and_test_utterances_are_apart_and_no_stranger_is_trained_on() -> None:
    train, test = load_utterances("train"), load_utterances("test")

    assert not set(train.texts) & set(test.texts)
    assert OUT_OF_SCOPE not in train.intents
    assert set(test.intents) == {*train.intents, OUT_OF_SCOPE}
    assert min(train.intents.count(intent) for intent in set(train.intents)) >= 15


def test_a_reader_that_was_not_prepared_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Prepare them with `trivium prepare`"):
        load_reader(FileRegistry(tmp_path))


def test_intents_by_an_older_recipe_are_fitted_anew(tmp_path: Path) -> None:
    registry, told = FileRegistry(tmp_path), list[str]()
    trained_on = f"@{hashlib.sha256(UTTERANCES.read_bytes()).hexdigest()[:12]}"
    card = {"trained_on": trained_on, "recipe": "an older one", "licence": "", "metrics": {}, "limits": ""}
    registry.save(INTENTS, {"intents.safetensors": b""}, card)

    def stop(what: str, share: float) -> None:
        told.append(what)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        prepare_intents(registry, stop)

    assert told == ["Learning the shop's intents"]


def test_intents_are_read_by_the_encoder_they_were_fitted_with_and_by_no_other(
    tmp_path: Path, encoder_dir: Path
) -> None:
    registry, folder = FileRegistry(tmp_path), tmp_path / "own"
    shutil.copytree(encoder_dir, folder)
    prepare_intents(registry, lambda what, share: None, folder)

    found = registry.load(INTENTS)
    assert found is not None
    assert is_current(found[0], f"own@{weights_sha256(folder)[:12]}")
    assert not is_current(found[0])
    read = load_reader(registry).read("where is my parcel")
    assert read.intent.intent in load_utterances("train").intents
    assert read.tones  # by MiniLM, as ever

    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(Unavailable, match=r"own holds another encoder .* Run `trivium prepare`"):
        load_reader(registry)
    shutil.rmtree(folder)
    with pytest.raises(Unavailable, match=r"no readable model.safetensors in 'own'.* Run `trivium prepare`"):
        load_reader(registry)
    with pytest.raises(Unavailable, match=r"TRIVIUM_ENCODER: .*no readable model.safetensors in 'own'"):
        prepare_intents(registry, lambda what, share: None, folder)


@pytest.mark.slow
def test_the_prepared_reader_tells_a_thankful_customer_from_an_angry_one(tmp_path: Path) -> None:
    registry = FileRegistry(tmp_path)

    prepare_intents(registry, lambda what, share: None)
    card = registry.load(INTENTS)
    assert card is not None
    assert is_current(card[0])
    assert not is_current(replace(card[0], recipe="an older one"))
    assert not is_current(replace(card[0], trained_on="other utterances"))
    prepare_intents(registry, lambda what, share: None)
    reader = load_reader(registry)

    assert registry.load(INTENTS) == card
    assert reader.read("Thank you so much, that was really kind!").tone is Tone.HAPPY
    assert reader.read("I hate this, you make me furious!").tone is Tone.ANGRY
    assert reader.read("My parcel has not arrived, where is it?").intent.intent in ("delivery_problem", "order_status")
    assert not reader.read("Who won the world cup in 1998?").intent.in_scope
