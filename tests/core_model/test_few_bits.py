"""Few-bit layers compute what their dequantized weights would, on every path."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core_model.compress.rounding import OFFSETS, Offset, Scheme, round_to_nearest
from core_model.few_bits import Int4GroupedLinear, Int4Linear, few_bit_grouped_linear, few_bit_linear

# outputs, inputs, group: the kernel's blocks; its last block short; shapes that it does not take
SHAPES = [(128, 96, 32), (64, 576, 64), (80, 128, 128), (24, 64, 32), (33, 63, 21), (64, 96, None)]


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(("outputs", "inputs", "group_size"), SHAPES)
@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("num_rows", [1, 5, 100])
def test_an_int4_layer_equals_its_dequantized_weights(
    outputs: int, inputs: int, group_size: int | None, offset: Offset, num_rows: int
) -> None:
    torch.manual_seed(0)
    weight = round_to_nearest(torch.randn(outputs, inputs) + 0.2, Scheme(4, group_size, offset))
    x, bias = torch.randn(num_rows, inputs), torch.randn(outputs)

    found = Int4Linear(weight, bias)(x)

    assert found.dtype == torch.float32
    assert relative_error(found, x @ weight.dequantize().T + bias) < 0.005  # bf16 activations where rows are few


@pytest.mark.parametrize(
    ("group_size", "offset", "bits"), [(32, "free", 5.0), (64, "free", 4.5), (64, "symmetric", 4.5)]
)
def test_two_codes_lie_in_a_byte(group_size: int, offset: Offset, bits: float) -> None:
    weight = round_to_nearest(torch.randn(128, 128), Scheme(4, group_size, offset))

    assert Int4Linear(weight).nbytes * 8 / (128 * 128) == bits


@pytest.mark.parametrize("rows_per_expert", [1, 60])
def test_grouped_rows_meet_their_own_expert(rows_per_expert: int) -> None:
    torch.manual_seed(0)
    experts = [round_to_nearest(torch.randn(64, 64), Scheme(4, 32)) for _ in range(4)]
    groups = [(3, 0, rows_per_expert), (1, rows_per_expert, 2 * rows_per_expert)]
    x = torch.randn(2 * rows_per_expert, 64)

    found = Int4GroupedLinear(experts)(x, groups)

    expected = torch.cat([x[start:end] @ experts[expert].dequantize().T for expert, start, end in groups])
    assert relative_error(found, expected) < 0.005


def test_a_row_may_be_repeated_without_a_copy() -> None:
    """As one token's row is for its experts."""
    weight, row = round_to_nearest(torch.randn(64, 64), Scheme(4, 32)), torch.randn(1, 64)

    assert torch.equal(Int4Linear(weight)(row.expand(3, -1)), Int4Linear(weight)(row.repeat(3, 1)))


def test_parts_of_different_bits_lie_side_by_side() -> None:
    torch.manual_seed(0)
    plain, x = torch.randn(16, 64), torch.randn(5, 64)
    int4, int8 = round_to_nearest(plain, Scheme(4, 32)), round_to_nearest(plain, Scheme(8, None))
    int5, grouped_int8 = round_to_nearest(plain, Scheme(5, 16)), round_to_nearest(plain, Scheme(8, 32, "integer"))
    expected = torch.cat([w.dequantize() for w in (int4, int8, int5, grouped_int8)] + [plain])

    found = few_bit_linear([int4, int8, int5, grouped_int8, plain], torch.ones(80))(x)

    assert relative_error(found, x @ expected.T + 1) < 0.005


def test_experts_may_have_different_bits() -> None:
    torch.manual_seed(0)
    plain, x = [torch.randn(16, 64), torch.randn(16, 64)], torch.randn(2, 64)
    experts = [[round_to_nearest(plain[0], Scheme(4, 32))], [round_to_nearest(plain[1], Scheme(8, None))]]

    found = few_bit_grouped_linear(experts)(x, [(0, 0, 1), (1, 1, 2)])

    expected = torch.stack([x[i] @ experts[i][0].dequantize().T for i in range(2)])
    assert relative_error(found, expected) < 0.01
