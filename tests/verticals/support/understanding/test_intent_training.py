"""A few examples tune the encoder, many do not; an intent's name is an example; a tuned reader survives its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from verticals.support.understanding.encoder import TextReader
from verticals.support.understanding.intent import IntentModel
from verticals.support.understanding.intent_training import MAX_TUNED, intent_layers, intent_vectors, train_intents
from verticals.support.understanding.tuning import UpperLayers

EXAMPLES = {
    "late_parcel": ["where is my parcel", "parcel late", "the parcel is late"],
    "money_back": ["i want my money", "please refund", "money please"],
}
TEXTS = [text for texts in EXAMPLES.values() for text in texts]
INTENTS = [intent for intent, texts in EXAMPLES.items() for _ in texts]


@pytest.fixture(scope="module")
def layers(reader: TextReader) -> UpperLayers:
    return intent_layers(reader)


@pytest.fixture(scope="module")
def model(layers: UpperLayers) -> IntentModel:
    return train_intents(layers.read(TEXTS), INTENTS, layers)


def intents_of(model: IntentModel, texts: list[str], layers: UpperLayers) -> list[str]:
    vectors = intent_vectors(layers.read(texts), model.delta, layers)
    return [reading.intent for reading in model.read(texts, vectors)]


def test_a_tuned_reader_finds_the_intents_of_like_messages(model: IntentModel, layers: UpperLayers) -> None:
    assert model.delta is not None
    assert intents_of(model, ["is my parcel late", "please my money"], layers) == ["late_parcel", "money_back"]


def test_an_intents_name_in_words_is_an_example(model: IntentModel) -> None:
    assert len(model.vectors_ED) == len(TEXTS) + len(EXAMPLES)
    assert "money back" in model.vocabulary


def test_tuning_draws_intents_apart(model: IntentModel, layers: UpperLayers) -> None:
    same_EE = model.label_E[:, None] == model.label_E
    texts = [*TEXTS, "late parcel", "money back"]

    plain, tuned = (
        (x_ED @ x_ED.T)[same_EE].mean() - (x_ED @ x_ED.T)[~same_EE].mean()
        for x_ED in (layers.read(texts).plain_ND, model.vectors_ED)
    )

    assert tuned > plain + 0.01


def test_many_examples_leave_the_encoder_as_it_is(layers: UpperLayers) -> None:
    model = train_intents(
        layers.read(TEXTS).take([0, 3] * MAX_TUNED), ["late_parcel", "money_back"] * MAX_TUNED, layers
    )

    assert model.delta is None
    assert intents_of(model, ["where is my parcel"], layers) == ["late_parcel"]


def test_a_tuned_reader_reads_the_same_after_a_file(tmp_path: Path, model: IntentModel, layers: UpperLayers) -> None:
    path = tmp_path / "intents.safetensors"
    path.write_bytes(model.to_bytes())

    back = IntentModel.from_file(path)

    expected, got = (m.score(TEXTS, intent_vectors(layers.read(TEXTS), m.delta, layers))[0] for m in (model, back))
    np.testing.assert_allclose(got, expected, atol=1e-2)
