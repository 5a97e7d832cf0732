"""Linear layers over `QuantizedWeight`s: int4 by torch's kernel, any other bits by plain arithmetic. Ignores rounding.

int4 keeps two codes a byte, and a bf16 scale and offset for each group of inputs, in the order of torch's kernel, which
serves a few rows; for many, blocks of weights are widened one after another, each small enough to stay in the cache.
Other devices, and shapes that the kernel does not take, get the same numbers by plain arithmetic.

Shapes: N rows, I inputs, O outputs, E experts, G groups of X inputs, B blocks of Z outputs in Y bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.quantize import DenseLinear, Group, GroupedLinear, Int8Linear, Linear
from core_model.quantized_weight import QuantizedWeight, Weight

_OUTPUTS, _GROUP_SIZES = 16, (32, 64, 128, 256)  # what torch 2.13's kernel takes: multiples of, and one of
_BLOCK = 64  # outputs that lie together in its order, on CPUs with AVX-512
_FEW_ROWS = 48  # up to here widening the weights costs more than it saves
_CACHED = 2**17  # weights that are widened at once: half a megabyte, small enough to stay in the CPU's cache


def few_bit_linear(parts: Sequence[Weight], bias_O: Tensor | None = None) -> Linear:
    """The fastest layer for weights that share their inputs, with their outputs side by side; plain ones stay so."""
    if len({kind_of(part) for part in parts}) > 1:
        return SideBySide([few_bit_linear([part]) for part in parts], bias_O)
    weight = join(parts)
    if isinstance(weight, Tensor):
        return DenseLinear(weight, bias_O)
    if weight.bits == 4:
        return Int4Linear(weight, bias_O)
    if weight.bits == 8 and weight.scale_OG.shape[1] == 1 and weight.is_symmetric:
        return Int8Linear((weight.codes_OI.int() - 128).to(torch.int8), weight.scale_OG[:, 0].contiguous(), bias_O)
    return CodesLinear(weight, bias_O)


def few_bit_grouped_linear(experts: Sequence[Sequence[Weight]]) -> GroupedLinear:
    """`few_bit_linear` for each expert."""
    joined = [join(parts) if len({kind_of(part) for part in parts}) == 1 else None for parts in experts]
    int4 = [weight for weight in joined if isinstance(weight, QuantizedWeight) and weight.bits == 4]
    if len(int4) == len(experts):
        return Int4GroupedLinear(int4)
    return OneByOne([few_bit_linear(parts) for parts in experts])


class SideBySide:
    """Layers of different kinds on the same inputs."""

    def __init__(self, linears: Sequence[Linear], bias_O: Tensor | None = None) -> None:
        self._linears, self._bias_O = linears, bias_O

    def __call__(self, x_NI: Tensor) -> Tensor:
        y_NO = torch.cat([linear(x_NI) for linear in self._linears], -1)
        return y_NO if self._bias_O is None else y_NO + self._bias_O


class OneByOne:
    """Experts of different kinds."""

    def __init__(self, experts: Sequence[Linear]) -> None:
        self._experts = experts

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        return torch.cat([self._experts[expert](x_NI[start:end]) for expert, start, end in groups])


class CodesLinear:
    """Any bits, one code a byte, widened for each product: right everywhere, fast nowhere."""

    def __init__(self, weight: QuantizedWeight, bias_O: Tensor | None = None) -> None:
        self._weight, self._bias_O = weight, bias_O

    def __call__(self, x_NI: Tensor) -> Tensor:
        return F.linear(x_NI, self._weight.dequantize().to(x_NI.dtype), self._bias_O)


class Int4Linear:
    """4-bit weights; see the head of this file. Kernel's order and bytes are of the machine: build it where it runs."""

    def __init__(self, weight: QuantizedWeight, bias_O: Tensor | None = None) -> None:
        self.weight, self.bias_O = Int4Weight(weight), bias_O

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take: codes, scales and offsets."""
        return self.weight.nbytes

    def __call__(self, x_NI: Tensor) -> Tensor:
        y_NO = self.weight(x_NI).to(x_NI.dtype)
        return y_NO if self.bias_O is None else y_NO + self.bias_O


class Int4GroupedLinear:
    """4-bit weights of each expert."""

    def __init__(self, weights: Sequence[QuantizedWeight]) -> None:
        self.weights = [Int4Weight(weight) for weight in weights]

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take: codes, scales and offsets."""
        return sum(weight.nbytes for weight in self.weights)

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        parts = [self.weights[expert](x_NI[start:end]) for expert, start, end in groups]
        return torch.cat([part.to(x_NI.dtype) for part in parts])


class Int4Weight:
    """Codes two a byte: in the kernel's order if it takes the shape, else neighbours side by side."""

    def __init__(self, weight: QuantizedWeight) -> None:
        assert weight.bits == 4
        (num_outputs, num_inputs), self.group_size = weight.shape, weight.group_size
        self._rounding = weight.rounding()
        middle_OG = torch.addcmul(weight.offset_OG, weight.scale_OG, weight.scale_OG.new_tensor(8.0))
        self.scale_and_middle_GO2 = (
            torch.stack((weight.scale_OG, middle_OG), -1).transpose(0, 1).bfloat16().contiguous()
        )
        self.has_kernel = (
            weight.codes_OI.device.type == "cpu" and num_outputs % _OUTPUTS == 0 and self.group_size in _GROUP_SIZES
        )
        if self.has_kernel:
            self.packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(weight.codes_OI.int(), 1)
            # With AVX-512 the kernel's order is known: 64 outputs a block, the first 32 in the lower half bytes.
            is_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
            self.block = _BLOCK if is_avx512 and num_outputs % _BLOCK == 0 else 0
        else:
            codes_OI = F.pad(weight.codes_OI, (0, num_inputs % 2))
            self.packed, self.block = codes_OI[:, ::2] | codes_OI[:, 1::2] << 4, 0

    @property
    def nbytes(self) -> int:
        return int(self.packed.nbytes) + self.scale_and_middle_GO2.nbytes

    def rounding(self) -> tuple[float, float]:
        return self._rounding

    def __call__(self, x_NI: Tensor) -> Tensor:
        if self.has_kernel and (x_NI.shape[0] <= _FEW_ROWS or not self.block):
            x_NI, pairs = x_NI.bfloat16().contiguous(), self.scale_and_middle_GO2
            y_NO: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x_NI, self.packed, self.group_size, pairs)
            return y_NO
        return self._by_blocks(x_NI) if self.block else F.linear(x_NI, self._dequantized(x_NI.shape[1]).to(x_NI.dtype))

    def _by_blocks(self, x_NI: Tensor) -> Tensor:
        """x W^T, a few blocks of outputs at a time; B blocks are (B, I, 32) bytes in the kernel's order."""
        (num_rows, num_inputs), (num_groups, num_outputs, _) = x_NI.shape, self.scale_and_middle_GO2.shape
        y_NO = x_NI.new_empty(num_rows, num_outputs)
        outputs = max(1, _CACHED // (num_inputs * self.block)) * self.block
        for first in range(0, num_outputs, outputs):
            end = min(first + outputs, num_outputs)
            packed_BIY = self.packed[first:end].view(-1, num_inputs, self.block // 2)
            codes_BIZ = torch.cat((packed_BIY & 15, packed_BIY >> 4), -1)
            pairs = self.scale_and_middle_GO2[:, first:end].float().view(num_groups, -1, self.block, 2)
            scale_BG1Z, middle_BG1Z = pairs.permute(3, 1, 0, 2).unsqueeze(3).contiguous()
            steps_BGXZ = codes_BIZ.float().sub_(8).view(-1, num_groups, self.group_size, self.block)
            weight_BIZ = torch.addcmul(middle_BG1Z, steps_BGXZ, scale_BG1Z).view(codes_BIZ.shape)
            y_BNZ = torch.matmul(x_NI, weight_BIZ.to(x_NI.dtype))
            y_NO[:, first:end].view(num_rows, -1, self.block).copy_(y_BNZ.transpose(0, 1))
        return y_NO

    def _dequantized(self, num_inputs: int) -> Tensor:
        """The weights, fp32, (O, I), from codes side by side."""
        scale_OG, middle_OG = self.scale_and_middle_GO2.float().permute(2, 1, 0)
        codes_OI = torch.stack((self.packed & 15, self.packed >> 4), -1).flatten(1)[:, :num_inputs]
        steps_OGX = codes_OI.float().sub_(8).view(*scale_OG.shape, -1)
        return torch.addcmul(middle_OG.unsqueeze(-1), steps_OGX, scale_OG.unsqueeze(-1)).flatten(1)


def kind_of(part: Weight) -> tuple[int, int]:
    """Weights of one kind can be joined."""
    return (part.bits, part.group_size) if isinstance(part, QuantizedWeight) else (16, 0)


def join(parts: Sequence[Weight]) -> Weight:
    """Outputs one after another; all parts are of one kind."""
    if len(parts) == 1:
        return parts[0]
    quantized = [part for part in parts if isinstance(part, QuantizedWeight)]
    if not quantized:
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    return QuantizedWeight(
        torch.cat([part.codes_OI for part in quantized]),
        torch.cat([part.scale_OG for part in quantized]),
        torch.cat([part.offset_OG for part in quantized]),
        quantized[0].bits,
    )
