"""From checkpoint tensors to layers: casts, fuses, quantizes, places on a device. Knows names, not files.

The decoder asks for `q_proj`, `k_proj` and `v_proj` of one prefix and gets one fused layer; checkpoints keep the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.few_bits import few_bit_grouped_linear, few_bit_linear
from core_model.quantize import (
    DenseGroupedLinear,
    DenseLinear,
    GroupedLinear,
    Int8GroupedLinear,
    Int8Linear,
    Linear,
    quantize_int8,
)
from core_model.quantized_weight import QuantizedWeight

Precision = Literal["int4", "int8", "int8-dynamic", "bf16", "fp32"]
INT4 = Scheme(bits=4, group_size=32, offset="free")  # without calibration, the finest grid that the kernel takes
INT8 = Scheme(bits=8, group_size=None, offset="symmetric")
_SCHEMES: dict[int, Scheme | None] = {4: INT4, 8: INT8, 16: None}
_HEADS = ("model.embed_tokens.weight", "lm_head.weight")  # each row of these is a word: never below int8


class Weights:
    """Tensors of a checkpoint on their way into a decoder.

    Args:
        tensors: Name to tensor, upstream names; may be lazy. int8 layers that were packed before are used as they are,
            and so are `QuantizedWeight`s unless the precision is a float one.
        precision: Of the linear layers; integer ones compute norms, attention and router in fp32. `int4` rounds to
            nearest what is not quantized yet, and keeps the head in int8. `int8-dynamic` is `int8` with activations in
            eight bits where there are many rows: faster, and less exact.
        bits: 4, 8 or 16 for layers by name (without `.weight`) where `int4` shall not mean 4; see `compress.plan`.
        packed: Filled with what was asked for, int8 layers packed: enough to build the same decoder again, at once.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor | QuantizedWeight],
        *,
        precision: Precision,
        device: torch.device | str = "cpu",
        packed: dict[str, Tensor] | None = None,
        bits: Mapping[str, int] | None = None,
    ) -> None:
        self._packed, self._tensors, self._precision, self._bits = packed, tensors, precision, bits or {}
        self._is_integer = precision not in ("bf16", "fp32")
        self._num_parts = 1 if precision == "int8-dynamic" else 2
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.device = torch.device(device)

    def tensor(self, name: str, *, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor, in the compute dtype unless told.

        Raises:
            ValueError: the checkpoint has no such tensor.
        """
        return self._kept(name).to(dtype or self.dtype)

    def stored(self, name: str) -> Tensor:
        """One tensor in the checkpoint's own dtype (the embedding table is read by the row, so it need not be cast)."""
        return self._kept(name)

    def linear(self, prefix: str, *parts: str, bias: bool = False) -> Linear:
        """The layers `prefix.part` for all `parts`, which share their input, as one layer with outputs side by side."""
        names = [f"{prefix}.{part}.weight" if prefix else f"{part}.weight" for part in parts]
        bias_O = _cat([self.tensor(f"{prefix}.{part}.bias") for part in parts]) if bias else None
        if self._has_few_bits(names):
            return few_bit_linear([self._few_bits(name) for name in names], bias_O)
        if self._is_integer:
            return Int8Linear(*self._quantized(names), bias_O, num_parts=self._num_parts)
        return DenseLinear(self._cast(names), bias_O)

    def grouped_linear(self, prefixes: Sequence[str], *parts: str) -> GroupedLinear:
        """`linear(prefix, *parts)` for each prefix, that is, each expert."""
        experts = [[f"{prefix}.{part}.weight" for part in parts] for prefix in prefixes]
        if self._has_few_bits([name for expert in experts for name in expert]):
            return few_bit_grouped_linear([[self._few_bits(name) for name in names] for names in experts])
        if self._is_integer:
            names = [name for expert in experts for name in expert]
            return Int8GroupedLinear(*self._quantized(names), num_experts=len(experts), num_parts=self._num_parts)
        return DenseGroupedLinear([self._cast(names) for names in experts])

    def _has_few_bits(self, names: Sequence[str]) -> bool:
        """Whether these layers' weights are, or shall be, `QuantizedWeight`s."""
        if not self._is_integer:
            return False
        return (self._precision == "int4" and names[0] not in _HEADS) or isinstance(
            self._tensors.get(names[0]), QuantizedWeight
        )

    def _few_bits(self, name: str) -> QuantizedWeight | Tensor:
        """As the checkpoint has it; else rounded to what `bits` say, and as it is where that is 16."""
        stored = self._tensors.get(name)
        if isinstance(stored, QuantizedWeight):
            return stored.to(self.device)
        bits = self._bits.get(name.removesuffix(".weight"), 4)
        if bits not in _SCHEMES:
            raise ValueError(f"bits: must be 4, 8 or 16 (got {bits} for {name}). Make the plan again.")
        weight_OI, scheme = self._raw(name), _SCHEMES[bits]
        if scheme is None:
            return weight_OI.to(self.dtype)
        if scheme.group_size and weight_OI.shape[1] % scheme.group_size:
            scheme = replace(scheme, group_size=None)
        return round_to_nearest(weight_OI, scheme)

    def _quantized(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The int8 rows of these weights and their scales: packed ones if there are, else made now."""
        keys = tuple(f"{names[0]}+{len(names) - 1}.{what}" for what in ("int8", "scale"))
        if keys[0] not in self._tensors:
            made = quantize_int8([self._raw(name) for name in names])
            if self._packed is not None:
                self._packed |= dict(zip(keys, made, strict=True))
            return made
        return self._kept(keys[0]), self._kept(keys[1])

    def _cast(self, names: Sequence[str]) -> Tensor:
        return _cat([self._raw(name).to(self.dtype) for name in names])

    def _kept(self, name: str) -> Tensor:
        tensor = self._raw(name)
        if self._packed is not None:
            self._packed[name] = tensor
        return tensor

    def _raw(self, name: str) -> Tensor:
        try:
            stored = self._tensors[name]
            return (stored.dequantize() if isinstance(stored, QuantizedWeight) else stored).to(self.device)
        except KeyError:
            raise ValueError(f"checkpoint: tensor {name} is missing. Convert or download the model again.") from None


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
