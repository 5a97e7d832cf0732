"""Thresholds give each label its best F1, training improves on chance, and a model survives its files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from verticals.support.understanding.datasets import LabelledTexts
from verticals.support.understanding.emotion import EmotionModel, choose_thresholds, f1_scores
from verticals.support.understanding.emotion_training import train_plain, train_tuned
from verticals.support.understanding.encoder import TaskEncoder, TextReader
from verticals.support.understanding.tuning import Recipe, UpperLayers

KINDS = {"gratitude": "thanks hello thanks", "annoyance": "parcel late again", "neutral": "where is the lamp"}


@pytest.fixture(scope="module")
def data() -> LabelledTexts:
    texts = [text for text in KINDS.values() for _ in range(20)]
    return LabelledTexts(texts, tuple(KINDS), np.repeat(np.eye(3, dtype=np.float32), 20, axis=0))


@pytest.fixture(scope="module")
def model(reader: TextReader, data: LabelledTexts) -> EmotionModel:
    recipe = Recipe(epochs=3, learning_rate=5e-3, first_layer=2, rank=4)
    layers = UpperLayers(reader, recipe.first_layer)
    trained = train_tuned(data, layers.read(data.texts), layers=layers, recipe=recipe)
    return EmotionModel(*trained, card={"licence": "Apache-2.0"})


def test_a_tuned_encoder_tells_kinds_of_text_apart(reader: TextReader, model: EmotionModel) -> None:
    vectors = TaskEncoder(reader, {"emotion": model.delta}).encode(list(KINDS.values()))["emotion"]

    assert model.head.predict(vectors).argmax(1).tolist() == [0, 1, 2]


def test_so_does_a_head_on_the_encoder_as_it_is(reader: TextReader, data: LabelledTexts) -> None:
    encoder = TaskEncoder(reader, {"emotion": None})

    head = train_plain(data, encoder.encode(data.texts)["emotion"])

    assert head.predict(encoder.encode(list(KINDS.values()))["emotion"]).argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("tuned", [True, False])
def test_a_model_is_the_same_after_its_files(tmp_path: Path, model: EmotionModel, tuned: bool) -> None:
    replace(model, delta=model.delta if tuned else None).save(tmp_path / "emotion")

    back = EmotionModel.load(tmp_path / "emotion")

    assert (back.head.labels, back.card["licence"]) == (tuple(KINDS), "Apache-2.0")
    assert (back.delta is not None) == tuned
    np.testing.assert_allclose(back.head.weight_CD, model.head.weight_CD, rtol=1e-3, atol=1e-3)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readable emotion model in 'nowhere'"):
        EmotionModel.load(tmp_path / "nowhere")


def test_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    marked, target = rng.random((200, 5)) < 0.3, (rng.random((200, 5)) < 0.2).astype(np.float32)

    np.testing.assert_allclose(f1_scores(marked, target), f1_score(target, marked, average=None))


def test_the_threshold_of_a_rare_label_is_not_set_by_its_one_example() -> None:
    probabilities = np.linspace(0.9, 0.001, 200, dtype=np.float32)[:, None]
    target = np.zeros((200, 1), np.float32)
    target[0] = 1

    alone, mixed = (float(choose_thresholds(probabilities, target, trust=trust)[0]) for trust in (0, 0.5))

    assert alone == pytest.approx(0.9)
    assert mixed < 0.6


def test_no_other_threshold_gives_a_better_f1() -> None:
    rng = np.random.default_rng(1)
    target = (rng.random((300, 4)) < 0.1).astype(np.float32)
    probabilities = (0.5 * rng.random((300, 4)) + 0.3 * target).astype(np.float32)

    chosen = f1_scores(probabilities >= choose_thresholds(probabilities, target, trust=0), target)

    for threshold in np.linspace(0.05, 0.85, 33):
        assert (f1_scores(probabilities >= threshold, target) <= chosen + 1e-9).all()
