"""From checkpoint tensors to layers: casts, fuses, quantizes, places on a device. Knows names, not files.

The decoder asks for `q_proj`, `k_proj` and `v_proj` of one prefix and gets one fused layer; checkpoints keep the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from core_model.quantize import (
    DenseGroupedLinear,
    DenseLinear,
    GroupedLinear,
    Int8GroupedLinear,
    Int8Linear,
    Linear,
)

Precision = Literal["int8", "bf16", "fp32"]


class Weights:
    """Tensors of a checkpoint on their way into a decoder.

    Args:
        tensors: Name to tensor, upstream names; may be lazy.
        precision: Of the linear layers; `int8` computes norms, attention and router in fp32.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], *, precision: Precision, device: torch.device | str = "cpu"
    ) -> None:
        self._tensors, self._int8 = tensors, precision == "int8"
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.device = torch.device(device)

    def tensor(self, name: str, *, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor, in the compute dtype unless told.

        Raises:
            ValueError: the checkpoint has no such tensor.
        """
        return self._raw(name).to(dtype or self.dtype)

    def stored(self, name: str) -> Tensor:
        """One tensor in the checkpoint's own dtype (the embedding table is read by the row, so it need not be cast)."""
        return self._raw(name)

    def linear(self, prefix: str, *parts: str, bias: bool = False) -> Linear:
        """The layers `prefix.part` for all `parts`, which share their input, as one layer with outputs side by side."""
        weights = [self._raw(f"{prefix}.{part}.weight" if prefix else f"{part}.weight") for part in parts]
        bias_O = _cat([self.tensor(f"{prefix}.{part}.bias") for part in parts]) if bias else None
        return Int8Linear(weights, bias_O) if self._int8 else DenseLinear(self._cast(weights), bias_O)

    def grouped_linear(self, prefixes: Sequence[str], *parts: str) -> GroupedLinear:
        """`linear(prefix, *parts)` for each prefix, that is, each expert."""
        experts = [[self._raw(f"{prefix}.{part}.weight") for part in parts] for prefix in prefixes]
        return Int8GroupedLinear(experts) if self._int8 else DenseGroupedLinear([self._cast(w) for w in experts])

    def _cast(self, weights: Sequence[Tensor]) -> Tensor:
        return _cat([weight.to(self.dtype) for weight in weights])

    def _raw(self, name: str) -> Tensor:
        try:
            return self._tensors[name].to(self.device)
        except KeyError:
            raise ValueError(f"checkpoint: tensor {name} is missing. Convert or download the model again.") from None


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
