"""int8 layers stay close to the weights they came from, on both of their products."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core_model.quantize import (
    FEW_ROWS,
    DenseGroupedLinear,
    DenseLinear,
    Int8GroupedLinear,
    Int8Linear,
    has_integer_product,
    quantize_int8,
)


@given(st.integers(0, 2**16), st.floats(1e-3, 1e3))
def test_a_weight_moves_by_at_most_half_a_step(seed: int, size: float) -> None:
    weight = torch.randn(7, 16, generator=torch.Generator().manual_seed(seed)) * size

    q, scale = quantize_int8([weight])

    assert q.dtype == torch.int8
    assert int(q.abs().max()) == 127
    assert torch.all((q * scale[:, None] - weight).abs() <= scale[:, None] * 0.5001)


def test_a_channel_of_zeros_stays_zero() -> None:
    q, scale = quantize_int8([torch.zeros(2, 8)])

    assert not q.any()
    assert torch.equal(scale, torch.ones(2))


def test_the_input_is_left_alone() -> None:
    weight = torch.randn(600, 8)  # more rows than are quantized at once
    before = weight.clone()

    quantize_int8([weight])

    assert torch.equal(weight, before)


@pytest.mark.parametrize("num_rows", [1, FEW_ROWS, FEW_ROWS + 1, 40])
@pytest.mark.parametrize("num_inputs", [48, 24, 7])  # 24 and 7 are not what the fast kernel takes
@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 96)])
def test_an_int8_layer_is_close_to_the_plain_one(num_rows: int, num_inputs: int, bias: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    parts, x = [torch.randn(64, num_inputs), torch.randn(32, num_inputs)], torch.randn(num_rows, num_inputs)
    exact = DenseLinear(torch.cat(parts), bias)(x)

    found = Int8Linear(*quantize_int8(parts), bias)(x)

    assert found.dtype == torch.float32
    assert float((found - exact).norm() / exact.norm()) < 0.02


@pytest.mark.parametrize("num_rows", [1, FEW_ROWS + 3])
def test_a_row_of_zeros_and_an_outlier_beside_it_do_no_harm(num_rows: int) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(16, 48), torch.zeros(num_rows, 48)
    x[-1, 0] = 1e4

    found = Int8Linear(*quantize_int8([weight]))(x)

    assert torch.isfinite(found).all()
    assert not found[:-1].any()
    assert torch.allclose(found[-1], weight[:, 0] * 1e4, rtol=0.02, atol=200)


@pytest.mark.parametrize("rows_per_expert", [1, FEW_ROWS + 1])
def test_grouped_rows_meet_their_own_expert(rows_per_expert: int) -> None:
    torch.manual_seed(0)
    experts = [[torch.randn(8, 24), torch.randn(8, 24)] for _ in range(4)]
    groups = [(3, 0, rows_per_expert), (1, rows_per_expert, 2 * rows_per_expert)]
    x = torch.randn(2 * rows_per_expert, 24)

    plain = DenseGroupedLinear([torch.cat(parts) for parts in experts])(x, groups)
    int8 = Int8GroupedLinear(
        *quantize_int8([part for parts in experts for part in parts]), num_experts=len(experts), rows_per_token=1
    )(x, groups)

    assert torch.equal(plain[:rows_per_expert], DenseLinear(torch.cat(experts[3]))(x[:rows_per_expert]))
    assert float((int8 - plain).norm() / plain.norm()) < 0.02


@pytest.mark.parametrize("offset", [0, 1, 8, 15])
@pytest.mark.parametrize("num_rows", [1, FEW_ROWS])
def test_weights_may_lie_anywhere_in_memory(offset: int, num_rows: int) -> None:
    """As those of a mapped file do."""
    q_OI, scale_O = quantize_int8([torch.randn(48, 64)])
    elsewhere_OI = torch.zeros(48 * 64 + 16, dtype=torch.int8)[offset : offset + 48 * 64].view(48, 64).copy_(q_OI)
    x_NI = torch.randn(num_rows, 64)

    assert torch.equal(Int8Linear(elsewhere_OI, scale_O)(x_NI), Int8Linear(q_OI, scale_O)(x_NI))


@pytest.mark.skipif(not has_integer_product(torch.device("cpu")), reason="needs AVX-512 VNNI")
def test_a_row_of_a_large_layer_comes_out_the_same_among_few_and_many() -> None:
    torch.manual_seed(0)
    linear, x = Int8Linear(*quantize_int8([torch.randn(8192, 512)])), torch.randn(FEW_ROWS + 1, 512)

    assert torch.equal(linear(x)[:1], linear(x[:1]))
