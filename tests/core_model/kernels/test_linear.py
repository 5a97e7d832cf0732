"""Native linear layers compute what their weights say with inputs in 8 bits, at every level and for any row alone."""

from __future__ import annotations

import pytest
import torch

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.kernels.library import Kernels
from core_model.kernels.linear import NativeGroupedLinear, NativeLinear
from core_model.kernels.packing import pack, stacked, unpack, unstacked
from core_model.quantized_weight import QuantizedWeight, Weight
from tests.core_model.kernels.small import rounded, with_half_scales

FOUR, EIGHT = Scheme(4, 32, "free"), Scheme(8, 32, "symmetric")


def random_weight(scheme: Scheme, *, outputs: int = 40, inputs: int = 96) -> QuantizedWeight:
    torch.manual_seed(0)
    return with_half_scales(round_to_nearest(torch.randn(outputs, inputs), scheme))


def native(kernels: Kernels, weight: Weight, bias: torch.Tensor | None = None) -> NativeLinear:
    packed = pack([weight])
    assert packed is not None
    return NativeLinear(kernels, packed, bias)


@pytest.mark.parametrize("scheme", [FOUR, EIGHT, Scheme(4, 64, "symmetric"), Scheme(8, None, "symmetric")])
@pytest.mark.parametrize("num_rows", [*range(1, 10), 131])
def test_a_layer_equals_its_weights_times_rounded_inputs(kernels: Kernels, scheme: Scheme, num_rows: int) -> None:
    weight, bias = random_weight(scheme, inputs=192), torch.randn(40)
    x = torch.randn(num_rows, 192) * torch.logspace(-3, 3, 192)
    layer = native(kernels, weight, bias)

    expected = rounded(x).double() @ weight.dequantize().double().T + bias
    assert torch.allclose(layer(x).double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_extreme_codes_and_inputs_do_not_overflow(kernels: Kernels, scheme: Scheme) -> None:
    largest = 2**scheme.bits - 1
    codes = torch.tensor([[0], [largest]], dtype=torch.uint8).repeat(8, 32)
    offset = torch.full((16, 1), -(2.0 ** (scheme.bits - 1)))
    weight = QuantizedWeight(codes, torch.ones(16, 1), offset, scheme.bits)
    x = torch.tensor([[127.0], [-127.0]]).expand(2, 32)
    layer = native(kernels, weight)

    assert torch.equal(layer(x), x @ weight.dequantize().T)


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_a_row_has_the_same_bits_whatever_is_beside_it(kernels: Kernels, scheme: Scheme) -> None:
    layer, x = native(kernels, random_weight(scheme)), torch.randn(140, 96)

    together = layer(x)
    for start in (0, 1, 7, 127, 139):
        for num in (1, 2, 5):
            assert torch.equal(layer(x[start : start + num]), together[start : start + num])


def test_levels_differ_by_rounding_of_sums_only(kernels: Kernels, best_kernels: Kernels) -> None:
    weight, x = random_weight(FOUR), torch.randn(3, 96)
    one, other = native(kernels, weight), native(best_kernels, weight)

    assert torch.allclose(one(x), other(x), rtol=0, atol=1e-5)


def test_zeros_and_no_rows_are_fine(kernels: Kernels) -> None:
    layer = native(kernels, random_weight(FOUR))

    assert torch.equal(layer(torch.zeros(2, 96)), torch.zeros(2, 40))
    assert layer(torch.zeros(0, 96)).shape == (0, 40)


def test_strided_and_half_inputs_are_read_right(best_kernels: Kernels) -> None:
    layer, x = native(best_kernels, random_weight(EIGHT)), torch.randn(96, 4)

    assert torch.equal(layer(x.T), layer(x.T.contiguous()))
    assert layer(x.T.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2, 64), (96,), (1, 2, 96)])
def test_inputs_that_do_not_fit_are_refused(best_kernels: Kernels, shape: tuple[int, ...]) -> None:
    layer = native(best_kernels, random_weight(FOUR))

    with pytest.raises(ValueError, match=r"x: must be \(rows, 96\)"):
        layer(torch.zeros(shape))


def test_grouped_rows_meet_their_own_expert(kernels: Kernels) -> None:
    experts = [random_weight(FOUR) for _ in range(3)]
    layer, x = NativeGroupedLinear([native(kernels, expert) for expert in experts]), torch.randn(5, 96)

    found = layer(x, [(2, 0, 3), (0, 3, 5)])
    alone = [native(kernels, experts[i]) for i in (2, 0)]
    assert torch.equal(found, torch.cat((alone[0](x[:3]), alone[1](x[3:]))))


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_packing_and_storing_keep_every_code_and_fp16_scale(scheme: Scheme) -> None:
    weight = random_weight(scheme)
    packed = pack([weight])
    assert packed is not None

    found = unpack(unstacked(*stacked([packed, packed]))[1])

    assert torch.equal(found.codes_OI, weight.codes_OI)
    assert torch.equal(found.scale_OG, weight.scale_OG)
    assert torch.equal(found.offset_OG, weight.offset_OG)


def test_stored_weights_of_another_layout_are_refused() -> None:
    packed = pack([random_weight(FOUR)])
    assert packed is not None
    blocks, sizes = stacked([packed])

    with pytest.raises(ValueError, match="unknown layout"):
        unstacked(blocks, sizes.index_fill(1, torch.tensor([1]), 100))


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_tiny_and_huge_scales_keep_their_precision(size: float) -> None:
    weight = random_weight(FOUR)
    sized = QuantizedWeight(weight.codes_OI, weight.scale_OG * size, weight.offset_OG * size, 4)
    packed = pack([sized])
    assert packed is not None

    assert torch.allclose(unpack(packed).scale_OG, sized.scale_OG, rtol=2**-11, atol=0)


@pytest.mark.parametrize("scheme", [Scheme(4, 16), Scheme(5, 32), Scheme(8, 32, "integer")])
def test_other_formats_are_left_to_torch(scheme: Scheme) -> None:
    assert pack([round_to_nearest(torch.randn(32, 96) + 0.1, scheme)]) is None


def test_parts_of_different_bits_are_left_to_torch() -> None:
    assert pack([random_weight(FOUR), random_weight(EIGHT)]) is None
