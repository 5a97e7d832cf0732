"""Native linear layers compute what their weights say with inputs in 8 bits, at every level and for any row alone."""

from __future__ import annotations

import pytest
import torch

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.kernels.library import Kernels
from core_model.kernels.linear import native_grouped_linear, native_linear
from core_model.kernels.packing import can_pack, pack, unpack
from core_model.quantized_weight import QuantizedWeight
from tests.core_model.kernels.small import rounded, with_half_scales

FOUR, EIGHT = Scheme(4, 32, "free"), Scheme(8, 32, "symmetric")


def random_weight(scheme: Scheme, *, outputs: int = 40, inputs: int = 96) -> QuantizedWeight:
    torch.manual_seed(0)
    return with_half_scales(round_to_nearest(torch.randn(outputs, inputs), scheme))


@pytest.mark.parametrize("scheme", [FOUR, EIGHT, Scheme(4, 64, "symmetric"), Scheme(8, None, "symmetric")])
@pytest.mark.parametrize("num_rows", [*range(1, 10), 131])
def test_a_layer_equals_its_weights_times_rounded_inputs(kernels: Kernels, scheme: Scheme, num_rows: int) -> None:
    weight, bias = random_weight(scheme, inputs=192), torch.randn(40)
    x = torch.randn(num_rows, 192) * torch.logspace(-3, 3, 192)
    layer = native_linear(kernels, [weight], bias)

    assert layer is not None
    expected = rounded(x).double() @ weight.dequantize().double().T + bias
    assert torch.allclose(layer(x).double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_extreme_codes_and_inputs_do_not_overflow(kernels: Kernels, scheme: Scheme) -> None:
    largest = 2**scheme.bits - 1
    codes = torch.tensor([[0], [largest]], dtype=torch.uint8).repeat(8, 32)
    offset = torch.full((16, 1), -(2.0 ** (scheme.bits - 1)))
    weight = QuantizedWeight(codes, torch.ones(16, 1), offset, scheme.bits)
    x = torch.tensor([[127.0], [-127.0]]).expand(2, 32)
    layer = native_linear(kernels, [weight])

    assert layer is not None
    assert torch.equal(layer(x), x @ weight.dequantize().T)


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_a_row_has_the_same_bits_whatever_is_beside_it(kernels: Kernels, scheme: Scheme) -> None:
    layer, x = native_linear(kernels, [random_weight(scheme)]), torch.randn(140, 96)

    assert layer is not None
    together = layer(x)
    for start in (0, 1, 7, 127, 139):
        for num in (1, 2, 5):
            assert torch.equal(layer(x[start : start + num]), together[start : start + num])


def test_levels_differ_by_rounding_of_sums_only(kernels: Kernels, best_kernels: Kernels) -> None:
    weight, x = random_weight(FOUR), torch.randn(3, 96)
    one, other = native_linear(kernels, [weight]), native_linear(best_kernels, [weight])

    assert one is not None
    assert other is not None
    assert torch.allclose(one(x), other(x), rtol=0, atol=1e-5)


def test_zeros_and_no_rows_are_fine(kernels: Kernels) -> None:
    layer = native_linear(kernels, [random_weight(FOUR)])

    assert layer is not None
    assert torch.equal(layer(torch.zeros(2, 96)), torch.zeros(2, 40))
    assert layer(torch.zeros(0, 96)).shape == (0, 40)


def test_strided_and_half_inputs_are_read_right(best_kernels: Kernels) -> None:
    layer, x = native_linear(best_kernels, [random_weight(EIGHT)]), torch.randn(96, 4)

    assert layer is not None
    assert torch.equal(layer(x.T), layer(x.T.contiguous()))
    assert layer(x.T.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(2, 64), (96,), (1, 2, 96)])
def test_inputs_that_do_not_fit_are_refused(best_kernels: Kernels, shape: tuple[int, ...]) -> None:
    layer = native_linear(best_kernels, [random_weight(FOUR)])

    assert layer is not None
    with pytest.raises(ValueError, match=r"x: must be \(rows, 96\)"):
        layer(torch.zeros(shape))


def test_grouped_rows_meet_their_own_expert(kernels: Kernels) -> None:
    experts = [random_weight(FOUR) for _ in range(3)]
    layer, x = native_grouped_linear(kernels, [[expert] for expert in experts]), torch.randn(5, 96)

    assert layer is not None
    found = layer(x, [(2, 0, 3), (0, 3, 5)])
    alone = [native_linear(kernels, [experts[i]]) for i in (2, 0)]
    assert alone[0] is not None
    assert alone[1] is not None
    assert torch.equal(found, torch.cat((alone[0](x[:3]), alone[1](x[3:]))))


@pytest.mark.parametrize("scheme", [FOUR, EIGHT])
def test_packing_keeps_every_code_and_fp16_scale(scheme: Scheme) -> None:
    weight = random_weight(scheme)

    found = unpack(pack(weight))

    assert torch.equal(found.codes_OI, weight.codes_OI)
    assert torch.equal(found.scale_OG, weight.scale_OG)
    assert torch.equal(found.offset_OG, weight.offset_OG)


def test_tiny_and_huge_scales_keep_their_precision() -> None:
    weight = random_weight(FOUR)
    for size in (1e-9, 1e9):
        sized = QuantizedWeight(weight.codes_OI, weight.scale_OG * size, weight.offset_OG * size, 4)

        found = unpack(pack(sized))

        assert torch.allclose(found.scale_OG, sized.scale_OG, rtol=2**-11, atol=0)


@pytest.mark.parametrize("scheme", [Scheme(4, 16), Scheme(5, 32), Scheme(8, 32, "integer")])
def test_other_formats_are_left_to_torch(best_kernels: Kernels, scheme: Scheme) -> None:
    weight = round_to_nearest(torch.randn(32, 96) + 0.1, scheme)

    assert not can_pack(weight)
    assert native_linear(best_kernels, [weight]) is None
    assert native_linear(best_kernels, [random_weight(FOUR), random_weight(EIGHT)]) is None
