"""Heads on the shared body: several on one pass, saved and loaded equal, refused on another body."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from core_model.heads import LinearHead, best_labels, classify
from core_model.pooled import FloatArray, Pooling

HEAD = LinearHead(
    labels=("letters", "words"),
    weight_CD=np.array([[0.5, -2.0], [-0.5, 2.0]], np.float32),
    bias_C=np.array([0.1, -0.1], np.float32),
    pooling="mean",
    model_version="body-1",
)


class Body:
    """Embeds a prompt as its length and its number of spaces; counts its passes."""

    model_version = "body-1+bias-abc"

    def __init__(self) -> None:
        self.asked: list[Pooling] = []

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def embed(
        self, prompts: Sequence[Sequence[int]], *, pooling: Pooling = "mean", normalize: bool = False
    ) -> FloatArray:
        self.asked.append(pooling)
        return np.array([[len(prompt), list(prompt).count(ord(" "))] for prompt in prompts], np.float32)


def test_several_heads_share_one_pass() -> None:
    body, other = Body(), replace(HEAD, labels=("a", "b"), weight_CD=-HEAD.weight_CD)

    found = classify(["abcdefgh", "a b c d"], {"kind": HEAD, "other": other}, engine=body, tokenizer=body)

    assert body.asked == ["mean"]
    assert best_labels(HEAD, found["kind"]) == ["letters", "words"]
    assert best_labels(other, found["other"]) == ["b", "a"]
    np.testing.assert_allclose(found["kind"].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(found["kind"][1, 0], 1 / (1 + np.exp(-(3.5 - 6 + 0.1) * 2)), rtol=1e-5)


def test_extreme_states_give_probabilities_all_the_same() -> None:
    found = HEAD.predict(np.array([[1e8, 0], [0, 1e8]], np.float32))

    assert found.tolist() == [[1, 0], [0, 1]]


def test_a_saved_head_is_loaded_equal(tmp_path: Path) -> None:
    HEAD.save(tmp_path / "head")

    loaded = LinearHead.load(tmp_path / "head")

    assert (loaded.labels, loaded.pooling, loaded.model_version) == (HEAD.labels, "mean", "body-1")
    np.testing.assert_array_equal(loaded.weight_CD, HEAD.weight_CD)
    np.testing.assert_array_equal(loaded.bias_C, HEAD.bias_C)


def _truncate(folder: Path) -> None:
    path = folder / "head.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def _drop_labels(folder: Path) -> None:
    (folder / "head.json").write_text(json.dumps({"pooling": "mean", "model_version": "body-1"}))


def _other_shape(folder: Path) -> None:
    save_file({"weight": np.zeros((3, 2), np.float32), "bias": np.zeros(3, np.float32)}, folder / "head.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_truncate, "no readable head in 'head'. Train and save it again"),
        (_drop_labels, "no readable head in 'head'"),
        (lambda folder: (folder / "head.json").unlink(), "no readable head in 'head'"),
        (_other_shape, r"must be \(2, D\) and \(2,\), a row a label"),
    ],
)
def test_a_damaged_head_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    folder = tmp_path / "head"
    HEAD.save(folder)
    damage(folder)

    with pytest.raises(ValueError, match=message):
        LinearHead.load(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("a", "a")}, r"at least 2, each once \(got 2, of which 1 differ\)"),
        ({"labels": ("a",)}, "at least 2"),
        ({"pooling": "max"}, "pooling: must be one of mean, last"),
        ({"bias_C": np.zeros(3, np.float32)}, "a row a label"),
        ({"weight_CD": np.full((2, 2), np.nan, np.float32)}, "must be finite"),
    ],
)
def test_a_head_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(HEAD, **changes)


def test_heads_and_bodies_that_do_not_fit_are_refused() -> None:
    body = Body()

    with pytest.raises(ValueError, match="heads: must not be empty"):
        classify(["a"], {}, engine=body, tokenizer=body)
    with pytest.raises(ValueError, match=r"'x' was trained on body-2, and body-1\+bias-abc is loaded"):
        classify(["a"], {"x": replace(HEAD, model_version="body-2")}, engine=body, tokenizer=body)
    with pytest.raises(ValueError, match="must pool alike"):
        classify(["a"], {"x": HEAD, "y": replace(HEAD, pooling="last")}, engine=body, tokenizer=body)
    with pytest.raises(ValueError, match=r"must be \(N, 2\) \(got \(1, 3\)\)"):
        HEAD.predict(np.zeros((1, 3), np.float32))
    assert body.asked == []
