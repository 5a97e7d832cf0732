"""Linear layers over packed weights. Ignores the rest of the decoder: this is for layers that run one by one.

Activations are rounded to 8 bits in groups of 32. A row comes out the same, bit for bit, whatever rows are beside it.
Shapes: N rows, I inputs, O outputs, E experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core_model.kernels.library import Kernels
from core_model.kernels.packing import ROWS, PackedWeight
from core_model.kernels.structs import Matrix
from core_model.quantize import Group


class NativeLinear:
    """A packed weight and a bias. `matrix` points into both."""

    def __init__(self, kernels: Kernels, weight: PackedWeight, bias_O: Tensor | None = None) -> None:
        self.kernels, self.weight = kernels, replace(weight, blocks_BGY=kernels.memory.keep(weight.blocks_BGY))
        self._bias = None
        if bias_O is not None:
            self._bias = torch.nn.functional.pad(bias_O.float(), (0, -len(bias_O) % ROWS)).contiguous()
        self.matrix = Matrix(
            self.weight.blocks_BGY.data_ptr(),
            None if self._bias is None else self._bias.data_ptr(),
            weight.bits,
            weight.outputs,
            weight.inputs,
            weight.factor,
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return self.weight.blocks_BGY.nbytes

    def rounding(self) -> tuple[float, float]:
        """As `QuantizedWeight.rounding`."""
        return self.weight.rounding

    def __call__(self, x_NI: Tensor) -> Tensor:
        return self.kernels.linear(self.matrix, x_NI).to(x_NI.dtype)


class NativeGroupedLinear:
    """Packed weights of each expert."""

    def __init__(self, experts: Sequence[NativeLinear]) -> None:
        self.experts = experts

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take."""
        return sum(expert.nbytes for expert in self.experts)

    def rounding(self) -> tuple[float, float]:
        """As `QuantizedWeight.rounding`, of all experts together."""
        noise, energy = zip(*(expert.rounding() for expert in self.experts), strict=True)
        return sum(noise), sum(energy)

    def __call__(self, x_NI: Tensor, groups: Sequence[Group]) -> Tensor:
        return torch.cat([self.experts[expert](x_NI[start:end]) for expert, start, end in groups])
