"""Weights of experts, one after another, as the kernels read them; made from the torch layers. Ignores computing.

Shapes: E experts (1 for a plain layer), O outputs, I inputs, G groups of neighbouring inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core_model.few_bits import Int4GroupedLinear, Int4Linear, Int4Weight
from core_model.moe import MLP
from core_model.quantize import DenseGroupedLinear, DenseLinear, Int8GroupedLinear, Int8Linear, Int8Weight
from core_model.quantized_weight import QuantizedWeight


@dataclass(frozen=True)
class Stacked:
    """Plain, or codes with weight = (code - 2**(bits - 1)) * scale + middle for each group of inputs.

    Attributes:
        values: (E, O, I) plain, or uint8 codes; with 4 bits (E, O, I / 2), the first of two neighbours below.
        scale_EGO: Of the codes.
        middle_EGO: None: all 0.
        bits: 16 stands for plain.
    """

    values: Tensor
    scale_EGO: Tensor | None = None
    middle_EGO: Tensor | None = None
    bits: int = 16

    @property
    def num_experts(self) -> int:
        return self.values.shape[0]

    @property
    def num_outputs(self) -> int:
        return self.values.shape[1]

    @property
    def num_inputs(self) -> int:
        return self.values.shape[2] * (2 if self.bits == 4 else 1)

    @property
    def group_size(self) -> int:
        """Inputs that share a scale."""
        return self.num_inputs if self.scale_EGO is None else self.num_inputs // self.scale_EGO.shape[1]

    def rounding(self) -> tuple[float, float]:
        """As `QuantizedWeight.rounding`, of all experts; plain weights were not rounded here."""
        each = [] if self.bits == 16 else [self._codes_of(expert).rounding() for expert in range(self.num_experts)]
        return sum(noise for noise, _ in each), sum(energy for _, energy in each)

    def _codes_of(self, expert: int) -> QuantizedWeight:
        assert self.scale_EGO is not None
        codes_OI, scale_OG = self.values[expert], self.scale_EGO[expert].float().t()
        if self.bits == 4:
            codes_OI = torch.stack((codes_OI & 15, codes_OI >> 4), -1).flatten(1)
        middle_OG = 0.0 if self.middle_EGO is None else self.middle_EGO[expert].float().t()
        return QuantizedWeight(codes_OI, scale_OG, middle_OG - scale_OG * 2 ** (self.bits - 1), self.bits)


def stack_linear(layer: object) -> Stacked | None:
    """The weights of a plain layer (E = 1), without its bias; None: the kernels do not read this kind."""
    if isinstance(layer, DenseLinear):
        return Stacked(layer.weight_OI[None].contiguous())
    if isinstance(layer, Int4Linear):
        return _stack_int4([layer.weight])
    return _stack_int8([layer.weight]) if isinstance(layer, Int8Linear) else None


def stack_experts(layer: object) -> Stacked | None:
    """The weights of all experts; None: the kernels do not read this kind."""
    if isinstance(layer, DenseGroupedLinear):
        return Stacked(torch.stack([*layer.weights]))
    if isinstance(layer, Int4GroupedLinear):
        return _stack_int4(layer.weights)
    return _stack_int8(layer.weights) if isinstance(layer, Int8GroupedLinear) else None


def has_bias(mlp: MLP) -> bool:
    """Whether one of its layers adds one."""
    return any(getattr(layer, "bias_O", None) is not None for layer in (mlp.gate_up_proj, mlp.down_proj))


def _stack_int4(weights: Sequence[Int4Weight]) -> Stacked | None:
    sizes = {(weight.group_size, weight.packed.shape[1] * 2) for weight in weights}
    if any(weight.has_kernel for weight in weights) or not all(_is_tiled(*size) for size in sizes):
        return None
    pairs_EGO2 = torch.stack([weight.scale_and_middle_GO2 for weight in weights])
    scale_EGO, middle_EGO = (pairs_EGO2[..., i].contiguous() for i in range(2))
    return Stacked(torch.stack([weight.packed for weight in weights]), scale_EGO, middle_EGO, 4)


def _stack_int8(weights: Sequence[Int8Weight]) -> Stacked:
    codes_EOI = torch.stack([weight.q_OI for weight in weights]).view(torch.uint8).bitwise_xor_(128)  # q + 128
    return Stacked(codes_EOI, torch.stack([weight.scale_O for weight in weights])[:, None].contiguous(), None, 8)


def _is_tiled(group_size: int, num_inputs: int) -> bool:
    """Whether tiles of 16 inputs or more are whole groups or lie within one, and groups are whole bytes."""
    return group_size % 16 == 0 or group_size == num_inputs or group_size in (2, 4, 8)


def join(weight: Stacked, other: Stacked) -> Stacked:
    """The experts of both, which are of one kind."""
    values = torch.cat((weight.values, other.values))
    scale, middle = _both(weight.scale_EGO, other.scale_EGO), _both(weight.middle_EGO, other.middle_EGO)
    return Stacked(values, scale, middle, weight.bits)


def _both(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else torch.cat((a, b))


def shared_as_experts(shared: MLP, *, like: tuple[Stacked, Stacked]) -> tuple[Stacked, Stacked] | None:
    """A wide `MLP` as experts of the others' width: SwiGLU goes unit by unit, so that their sum is the MLP.

    Args:
        like: The routed experts' weights, as those returned: (gate and up, down).

    Returns:
        None where the weights are of another kind than these.
    """
    gate_up, down = stack_linear(shared.gate_up_proj), stack_linear(shared.down_proj)
    width = like[1].num_inputs
    if gate_up is None or down is None or has_bias(shared) or down.num_inputs % width:
        return None
    num = down.num_inputs // width
    if down.scale_EGO is not None and down.group_size not in (like[1].group_size, down.num_inputs):
        return None
    found = _gates_apart(gate_up, num), _inputs_apart(down, num)
    return found if all(_kind(a) == _kind(b) for a, b in zip(found, like, strict=True)) else None


def _gates_apart(weight: Stacked, num: int) -> Stacked:
    """(1, 2 * num * F, I) as (num, 2 * F, I): the gate's outputs come before the others in each."""

    def part(scale_EGO: Tensor | None) -> Tensor | None:
        if scale_EGO is None:
            return None
        return scale_EGO.view(scale_EGO.shape[1], 2, num, -1).permute(2, 0, 1, 3).flatten(2)

    values = weight.values.view(2, num, -1, weight.values.shape[2]).transpose(0, 1).flatten(1, 2)
    return Stacked(values, part(weight.scale_EGO), part(weight.middle_EGO), weight.bits)


def _inputs_apart(weight: Stacked, num: int) -> Stacked:
    """(1, O, num * F) as (num, O, F)."""

    def part(scale_EGO: Tensor | None) -> Tensor | None:
        if scale_EGO is None or scale_EGO.shape[1] == 1:
            return None if scale_EGO is None else scale_EGO.repeat(num, 1, 1)
        return scale_EGO.view(num, -1, weight.num_outputs)

    values = weight.values.view(weight.num_outputs, num, -1).transpose(0, 1).contiguous()
    return Stacked(values, part(weight.scale_EGO), part(weight.middle_EGO), weight.bits)


def _kind(weight: Stacked) -> tuple[int, int, bool]:
    return weight.bits, weight.group_size, weight.middle_EGO is None
