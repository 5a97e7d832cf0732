"""Weights lie side by side, whole, and as long as somebody has them."""

from __future__ import annotations

import torch

from core_model.kernels.memory import WeightMemory


def test_weights_lie_side_by_side_at_cache_lines() -> None:
    memory, weights = WeightMemory(), [torch.full((3, 5), i, dtype=torch.uint8) for i in range(4)]

    kept = [memory.keep(weight) for weight in weights]

    assert all(torch.equal(one, other) for one, other in zip(kept, weights, strict=True))
    assert [part.data_ptr() - kept[0].data_ptr() for part in kept] == [0, 64, 128, 192]
    assert kept[0].data_ptr() % 2**21 == 0  # where a huge page can begin


def test_a_weight_larger_than_a_piece_gets_one_of_its_own() -> None:
    memory = WeightMemory()
    small, large = torch.ones(100, dtype=torch.uint8), torch.full((40 * 2**20,), 7, dtype=torch.uint8)

    kept = [memory.keep(small), memory.keep(large), memory.keep(small)]

    assert [int(part.sum()) for part in kept] == [100, 7 * 40 * 2**20, 100]


def test_what_is_kept_outlives_the_memory_and_its_source() -> None:
    source = torch.arange(50, dtype=torch.uint8)
    kept = WeightMemory().keep(source)
    source.zero_()

    assert kept.tolist() == [*range(50)]
