"""The intent reader learns from examples, knows what is unlike them, and survives a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from verticals.support.understanding.encoder import Vectors
from verticals.support.understanding.intent import RIDGE, IntentModel, fit_intents

EXAMPLES = {
    "late_parcel": ["where is my parcel", "parcel late", "the parcel is late"],
    "refund": ["i want my money back", "refund please", "money back please"],
    "thanks": ["thanks", "hello thanks"],
}
TEXTS = [text for texts in EXAMPLES.values() for text in texts]
INTENTS = [intent for intent, texts in EXAMPLES.items() for _ in texts]


def vectors(texts: list[str]) -> Vectors:
    """Letters counted, as unit vectors: a stand-in for meaning."""
    counts = np.array([[text.count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], np.float32)
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def model() -> IntentModel:
    return fit_intents(TEXTS, INTENTS, vectors(TEXTS))


def test_messages_like_the_examples_get_their_intent(model: IntentModel) -> None:
    texts = ["my parcel is late", "my money back please", "thanks hello"]

    readings = model.read(texts, vectors(texts))

    assert [reading.intent for reading in readings] == ["late_parcel", "refund", "thanks"]
    assert all(1 / 3 < reading.confidence <= 1 for reading in readings)


def test_an_example_is_more_familiar_than_another_text(model: IntentModel) -> None:
    texts = ["refund please", "quiz jazz fox"]

    known, other = model.read(texts, vectors(texts))

    assert known.familiarity > other.familiarity + 0.3


def test_the_threshold_decides_what_is_in_scope(model: IntentModel) -> None:
    texts = ["cancel lamp"]
    near = model.read(texts, vectors(texts))[0].familiarity

    readings = [model.with_threshold(near + gap).read(texts, vectors(texts))[0] for gap in (-0.01, 0.01)]

    assert [reading.in_scope for reading in readings] == [True, False]


def test_scores_are_scikit_learns_kernel_ridge(model: IntentModel) -> None:
    target = np.array([[1.0 if intent == label else -1.0 for label in model.labels] for intent in INTENTS])
    x = vectors(TEXTS)
    likeness = (
        np.exp(-2.0 * ((x[:, None] - x[None]) ** 2).sum(-1)) + 0.2 * (model.words_EV @ model.words_EV.T).toarray()
    )
    theirs = KernelRidge(alpha=RIDGE, kernel="precomputed").fit(likeness, target)

    scores, _ = model.score(TEXTS, x)

    np.testing.assert_allclose(scores, theirs.predict(likeness), atol=1e-4)


def test_a_model_reads_the_same_after_a_file(tmp_path: Path, model: IntentModel) -> None:
    (tmp_path / "intents.safetensors").write_bytes(model.with_threshold(0.5).to_bytes())

    back = IntentModel.from_file(tmp_path / "intents.safetensors")

    assert (back.labels, back.threshold) == (model.labels, 0.5)
    texts = ["my parcel", "refund my money please"]
    expected, got = (m.score(texts, vectors(texts))[0] for m in (model, back))
    np.testing.assert_allclose(got, expected, atol=5e-3)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "intents.safetensors").write_bytes(b"no tensors")

    with pytest.raises(ValueError, match=r"no readable intent model in 'intents.safetensors'"):
        IntentModel.from_file(tmp_path / "intents.safetensors")


def test_one_intent_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 different"):
        fit_intents(["parcel", "late"], ["a", "a"], vectors(["parcel", "late"]))
