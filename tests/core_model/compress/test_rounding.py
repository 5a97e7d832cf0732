"""Grids span their groups, codes are the nearest, and what is stored is what was promised."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_model.compress.rounding import OFFSETS, Offset, Scheme, round_to_nearest

schemes = st.builds(Scheme, st.integers(2, 8), st.sampled_from([8, 16, None]), st.sampled_from(OFFSETS))


def normal(shape: tuple[int, int], seed: int, *, size: float = 1.0, mean: float = 0.0) -> torch.Tensor:
    """Seeded normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size + mean


@given(schemes, st.integers(0, 2**16), st.floats(1e-3, 1e3), st.floats(-3, 3))
def test_a_weight_moves_by_about_half_a_step(scheme: Scheme, seed: int, size: float, mean: float) -> None:
    weight = normal((5, 32), seed, size=size, mean=mean * size)

    found = round_to_nearest(weight, scheme)

    moved_OGX = (found.dequantize() - weight).abs().view(*found.scale_OG.shape, -1)
    largest_OG = weight.abs().view(moved_OGX.shape).amax(-1)
    # Scales and free offsets are bf16: up to 2**-8 of the largest weight more than half a step.
    assert torch.all(moved_OGX.amax(-1) <= 0.5001 * found.scale_OG + largest_OG * 2**-7)


@given(schemes, st.integers(0, 2**16))
def test_rounding_twice_changes_nothing_more(scheme: Scheme, seed: int) -> None:
    once = round_to_nearest(normal((3, 16), seed), scheme).dequantize()

    codes = round_to_nearest(once, scheme).dequantize()

    assert (codes - once).abs().max() <= once.abs().max() / 2 ** (scheme.bits - 2)


@given(schemes)
def test_zeros_stay_zeros(scheme: Scheme) -> None:
    assert not round_to_nearest(torch.zeros(2, 16), scheme).dequantize().any()


@given(st.integers(0, 2**16))
def test_zero_is_a_code_unless_offsets_are_free(seed: int) -> None:
    for offset in ("symmetric", "integer"):
        found = round_to_nearest(normal((4, 32), seed, mean=2.0), Scheme(4, 16, offset))
        zero_point_OG = -found.offset_OG / found.scale_OG

        assert torch.equal(zero_point_OG, zero_point_OG.round())
        assert 0 <= zero_point_OG.min() <= zero_point_OG.max() <= 15


def test_a_free_offset_holds_what_q4_1_blocks_hold() -> None:
    """The embedded model comes as such blocks: code * scale + lowest."""
    codes = torch.randint(0, 16, (8, 32), generator=torch.Generator().manual_seed(0))
    codes[:, 0], codes[:, 1] = 0, 15
    weight = codes * 0.0625 - 0.5

    free, symmetric = (round_to_nearest(weight, Scheme(4, 32, offset)) for offset in ("free", "symmetric"))

    assert torch.equal(free.dequantize(), weight)
    assert (symmetric.dequantize() - weight).abs().max() > 0.01


def test_importance_shrinks_the_grid_for_the_many() -> None:
    weight = normal((16, 64), 0)
    weight[:, 7] = 8.0  # an outlier on an input that is hardly used
    importance = torch.ones(64)
    importance[7] = 1e-4

    plain, weighed = (
        round_to_nearest(weight, Scheme(4, 64)),
        round_to_nearest(weight, Scheme(4, 64), importance_I=importance),
    )

    def error(found: torch.Tensor) -> float:
        return float(((found - weight) ** 2 * importance).sum())

    assert error(weighed.dequantize()) < 0.6 * error(plain.dequantize())


@pytest.mark.parametrize(("offset", "bits"), [("symmetric", 4.25), ("integer", 4.5), ("free", 4.5)])
def test_bits_per_weight_count_scales_and_offsets(offset: Offset, bits: float) -> None:
    assert Scheme(4, 64, offset).bits_per_weight(128) == bits


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 9}, r"bits: must be 2 to 8 \(got 9\)"),
        ({"group_size": 0}, r"group_size: must be 1 or more \(got 0\)"),
        ({"offset": "odd"}, r"offset: must be one of symmetric, integer, free \(got 'odd'\)"),
    ],
)
def test_a_bad_scheme_says_what_is_allowed(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scheme(**options)  # type: ignore[arg-type]


def test_a_group_size_that_does_not_divide_says_which_do() -> None:
    with pytest.raises(ValueError, match=r"must divide a layer's 576 inputs \(got 128\). Use 64 or 32"):
        round_to_nearest(torch.zeros(2, 576), Scheme(4, 128))
