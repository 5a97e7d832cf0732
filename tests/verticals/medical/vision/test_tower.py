"""The tower: learns what can be learned, reads the same in int8, balances its experts, and trains alike every time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core_model.weights import Weights
from verticals.medical.vision.tower import Tower, TowerSize, unpacked
from verticals.medical.vision.train import Parameters, Pictures, Recipe, train, varied

SIZE = TowerSize(side=16, widths=(8, 16), num_layers=1, num_heads=2, num_experts=4, expert_dim=16)
RECIPE = Recipe(epochs=12, batch_size=16, learning_rate=5e-3)


def spots(num: int, seed: int) -> Pictures:
    """Noise, every second one with a bright spot somewhere."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randn(num, 16, 16, generator=draw) * 0.3
    for i in range(1, num, 2):
        row, column = torch.randint(0, 13, (2,), generator=draw).tolist()
        pixels[i, row : row + 4, column : column + 4] += 3
    return Pictures(pixels, (torch.arange(num) % 2).float().unsqueeze(1))


@pytest.fixture(scope="module")
def trained() -> Parameters:
    return train(spots(128, 0), SIZE, RECIPE)


def test_it_learns(trained: Parameters) -> None:
    new = spots(64, 1)

    with torch.inference_mode():
        reading = Tower(SIZE, Weights(trained, precision="fp32"))(new.pixels_BSS)

    assert ((reading.logits_BK > 0) == (new.labels_BK > 0)).float().mean() > 0.95
    assert reading.patches_BNX.shape == (64, 16, 8 + 16 + 16)


def test_int8_reads_almost_the_same(trained: Parameters) -> None:
    pixels = spots(32, 2).pixels_BSS

    with torch.inference_mode():
        exact, small = (Tower(SIZE, Weights(trained, precision=p))(pixels) for p in ("fp32", "int8"))

    assert (exact.logits_BK - small.logits_BK).abs().max() < 0.2 * exact.logits_BK.abs().max()


def test_an_int8_tower_unpacks_to_the_parameters_it_was_made_of(trained: Parameters) -> None:
    packed: Parameters = {}
    Tower(SIZE, Weights(trained, precision="int8", packed=packed))

    found = unpacked(packed)

    assert set(found) == set(trained)
    for name, tensor in trained.items():
        assert torch.allclose(found[name], tensor, atol=float(tensor.abs().max()) / 200), name


def test_a_picture_reads_the_same_beside_others(trained: Parameters) -> None:
    pixels, tower = spots(8, 3).pixels_BSS, Tower(SIZE, Weights(trained, precision="fp32"))

    with torch.inference_mode():
        together, alone = tower(pixels).logits_BK[3], tower(pixels[3:4]).logits_BK[0]

    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_the_same_seed_gives_the_same_weights() -> None:
    short = replace(RECIPE, epochs=1)

    one, two, other = (train(spots(32, 0), SIZE, replace(short, seed=seed)) for seed in (0, 0, 1))

    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.evidence.weight"], other["head.evidence.weight"])


def test_selection_bias_moves_with_the_load() -> None:
    made = train(spots(32, 0), SIZE, replace(RECIPE, epochs=1))

    assert made["model.layers.0.mlp.gate.e_score_correction_bias"].abs().max() > 0


def test_variations_keep_what_matters_and_change_the_rest() -> None:
    pixels = spots(64, 4).pixels_BSS

    changed = varied(pixels, torch.Generator().manual_seed(0))

    assert ((changed.amax((1, 2)) > 2) == (pixels.amax((1, 2)) > 2)).float().mean() > 0.9
    assert not torch.allclose(changed, pixels, atol=0.2)
