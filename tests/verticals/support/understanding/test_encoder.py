"""Several tasks in one pass give what each gives alone; deltas survive a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from verticals.support.understanding.encoder import Delta, TaskEncoder, TextReader
from verticals.support.understanding.tuning import Recipe, UpperLayers, new_delta

TEXTS = ["where is my order", "thanks", "i want my money back please"]


def random_delta(reader: TextReader, seed: int, *, rank: int = 4) -> Delta:
    recipe = Recipe(epochs=1, learning_rate=1e-3, first_layer=2, rank=rank)
    delta = new_delta(reader, recipe, torch.Generator().manual_seed(seed))
    return replace(delta, up={name: torch.randn(t.shape) for name, t in delta.up.items()})


def test_tasks_in_one_pass_have_the_vectors_of_passes_apart(reader: TextReader) -> None:
    deltas = {"a": random_delta(reader, 1), "b": random_delta(reader, 2)}

    together = TaskEncoder(reader, deltas).encode(TEXTS)

    for name, delta in deltas.items():
        np.testing.assert_allclose(together[name], TaskEncoder(reader, {name: delta}).encode(TEXTS)[name], atol=1e-5)
    assert np.abs(together["a"] - together["b"]).max() > 0.01


def test_tasks_without_a_delta_are_read_by_the_encoder_as_it_is(reader: TextReader) -> None:
    delta = random_delta(reader, 1)

    together = TaskEncoder(reader, {"a": None, "b": delta, "c": None}).encode(TEXTS)

    plain = TaskEncoder(reader, {"task": None}).encode(TEXTS)["task"]
    np.testing.assert_allclose(together["a"], plain, atol=1e-5)
    np.testing.assert_array_equal(together["a"], together["c"])
    np.testing.assert_allclose(together["b"], TaskEncoder(reader, {"b": delta}).encode(TEXTS)["b"], atol=1e-5)


def test_a_delta_is_the_merged_change_of_the_weights(reader: TextReader) -> None:
    delta = random_delta(reader, 3)
    merged = TextReader.__new__(TextReader)
    merged.__dict__ = dict(reader.__dict__)
    changes = {f"{name}.weight": delta.up[name] @ delta.down[name] for name in delta.down}
    merged.weights = {name: t + changes.get(name, 0) for name, t in reader.weights.items()}
    still = replace(delta, up={name: torch.zeros_like(t) for name, t in delta.up.items()})

    apart = TaskEncoder(reader, {"task": delta}).encode(TEXTS)["task"]

    np.testing.assert_allclose(apart, TaskEncoder(merged, {"task": still}).encode(TEXTS)["task"], atol=1e-5)


def test_kept_lower_states_give_the_vectors_of_a_whole_pass(reader: TextReader) -> None:
    delta = random_delta(reader, 4)
    layers = UpperLayers(reader, 2)

    vectors = layers.vectors(layers.lower_states(TEXTS), delta, batch_size=2)

    np.testing.assert_allclose(vectors, TaskEncoder(reader, {"task": delta}).encode(TEXTS)["task"], atol=5e-3)


def test_a_delta_is_read_back_from_its_tensors(reader: TextReader) -> None:
    delta = random_delta(reader, 5)

    back = Delta.from_tensors(delta.tensors() | {"head.weight": torch.zeros(1)})

    assert back.first_layer == 2
    assert back.down.keys() == delta.down.keys()
    torch.testing.assert_close(back.up["encoder.layer.3.output.dense"].shape, (16, 4))


def test_deltas_of_two_ranks_are_refused(reader: TextReader) -> None:
    deltas = {"a": random_delta(reader, 1), "b": random_delta(reader, 2, rank=8)}

    with pytest.raises(ValueError, match="one first layer and rank"):
        TaskEncoder(reader, deltas)


def test_half_a_delta_is_refused() -> None:
    with pytest.raises(ValueError, match="a down and an up"):
        Delta.from_tensors({"encoder.layer.3.output.dense.down": torch.zeros(4, 32)})
