"""Training a head: scikit-learn's optimum, and a task that hidden states separate."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from core_model.heads import best_labels, classify
from core_model.pooled import FloatArray
from core_model.train.heads import fit_head
from tests.core_model.tiny import make_engine, make_tokenizer


def clusters(*, seed: int, spread: float) -> tuple[FloatArray, list[str]]:
    """Three clouds in eight dimensions of very different scales."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(3, 8))
    kinds = draw.integers(3, size=150)
    points = (centres[kinds] + draw.normal(size=(150, 8)) * spread) * 10.0 ** np.arange(-3, 5)
    return points.astype(np.float32), [f"kind {i}" for i in kinds]


def test_probabilities_are_those_of_scikit_learn() -> None:
    hidden, labels = clusters(seed=1, spread=1.0)
    scaler = StandardScaler().fit(hidden.astype(np.float64))
    model = LogisticRegression(C=1 / (1e-2 * len(labels)), tol=1e-9, max_iter=10_000)
    expected = model.fit(scaler.transform(hidden.astype(np.float64)), labels)

    head = fit_head(hidden, labels, model_version="m", l2=1e-2)

    assert head.labels == tuple(expected.classes_)
    theirs = expected.predict_proba(scaler.transform(hidden.astype(np.float64)))
    np.testing.assert_allclose(head.predict(hidden), theirs, atol=1e-4)


def test_separable_clusters_are_told_apart_held_out() -> None:
    hidden, labels = clusters(seed=2, spread=0.3)

    head = fit_head(hidden, labels, model_version="m")

    unseen, right = clusters(seed=3, spread=0.3)
    assert np.mean([a == b for a, b in zip(best_labels(head, head.predict(unseen)), right, strict=True)]) > 0.95


def test_texts_of_two_alphabets_are_told_apart_on_a_random_body() -> None:
    draw = np.random.default_rng(0)
    kinds = draw.choice(["early", "late"], size=120)
    texts = ["".join(draw.choice([*("abcdef" if kind == "early" else "uvwxyz")], size=12)) for kind in kinds]
    tokenizer = make_tokenizer()
    with make_engine() as engine:
        hidden = engine.embed([tokenizer.encode(text) for text in texts[:80]])
        head = fit_head(hidden, [*kinds[:80]], model_version=engine.model_version)
        found = classify(texts[80:], {"part": head}, engine=engine, tokenizer=tokenizer)["part"]

    assert np.mean([a == b for a, b in zip(best_labels(head, found), kinds[80:], strict=True)]) > 0.95


def test_the_same_data_gives_the_same_head() -> None:
    hidden, labels = clusters(seed=4, spread=1.0)

    one, two = (fit_head(hidden, labels, model_version="m") for _ in range(2))

    np.testing.assert_array_equal(one.weight_CD, two.weight_CD)


def test_a_constant_feature_is_harmless() -> None:
    hidden, labels = clusters(seed=5, spread=0.3)
    hidden[:, 0] = 7

    assert np.isfinite(fit_head(hidden, labels, model_version="m").weight_CD).all()


def test_bad_examples_are_refused() -> None:
    hidden, labels = clusters(seed=6, spread=1.0)

    with pytest.raises(ValueError, match="one for each example"):
        fit_head(hidden, labels[:-1], model_version="m")
    with pytest.raises(ValueError, match="at least 2 different"):
        fit_head(hidden, ["same"] * len(labels), model_version="m")
    with pytest.raises(ValueError, match="hidden: must be finite"):
        fit_head(np.full_like(hidden, np.inf), labels, model_version="m")
    with pytest.raises(ValueError, match="l2: must be 0 or more"):
        fit_head(hidden, labels, model_version="m", l2=-1)
