"""From checkpoint tensors to layers: casts, fuses, quantizes, places on a device. Knows names, not files.

The decoder asks for `q_proj`, `k_proj` and `v_proj` of one prefix and gets one fused layer; checkpoints keep the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import ModelConfig
from core_model.few_bits import few_bit_grouped_linear, few_bit_linear
from core_model.kernels.library import Kernels
from core_model.kernels.linear import NativeGroupedLinear, NativeLinear
from core_model.kernels.packing import PackedWeight, pack, stacked, unpack, unstacked
from core_model.parallel.share import WHOLE, Share
from core_model.quantize import (
    ALIGNMENT,
    DenseGroupedLinear,
    DenseLinear,
    GroupedLinear,
    Int8GroupedLinear,
    Int8Linear,
    Linear,
    has_integer_product,
    quantize_int8,
)
from core_model.quantized_weight import QuantizedWeight, Weight

Precision = Literal["int4", "int8", "int8-dynamic", "bf16", "fp32"]
INT4 = Scheme(bits=4, group_size=32, offset="free")  # without calibration, the finest grid that the kernel takes
INT8 = Scheme(bits=8, group_size=None, offset="symmetric")
_SCHEMES: dict[int, Scheme | None] = {4: INT4, 8: INT8, 16: None}
_HEADS = ("model.embed_tokens.weight", "lm_head.weight")  # each row of these is a word: never below int8


class Weights:
    """Tensors of a checkpoint on their way into a decoder.

    Args:
        tensors: Name to tensor or grouped integers, upstream names; may be lazy. int8 layers that were packed before
            are used as they are, and so are grouped integers unless the precision is a float one.
        precision: Of the linear layers; integer ones compute norms, attention and router in fp32. `int4` rounds to
            nearest what is not quantized yet, and keeps the head in int8. `int8-dynamic` is `int8` with activations in
            eight bits where there are many rows: faster, and less exact.
        bits: 4, 8 or 16 for layers by name (without `.weight`) where `int4` shall not mean 4; see `compress.plan`.
        kernels: For layers of integers that they can run.
        share: What this process has of the model, whose `config` says what heads there are.
        packed: Filled with what was asked for, int8 layers packed: enough to build the same decoder again, at once.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor] | Mapping[str, Weight],
        *,
        precision: Precision,
        device: torch.device | str = "cpu",
        packed: dict[str, Tensor] | None = None,
        bits: Mapping[str, int] | None = None,
        kernels: Kernels | None = None,
        share: Share = WHOLE,
        config: ModelConfig | None = None,
    ) -> None:
        assert config is not None or share == WHOLE
        self._packed, self._tensors, self._precision, self._bits = packed, tensors, precision, bits or {}
        self._kernels = kernels
        self._blocks = {name.removesuffix(".blocks") for name in tensors if name.endswith(".blocks")}
        self._first_parts = {key.rpartition("+")[0] for key in self._blocks}
        self.share, self._config = share, config
        self._is_integer = precision not in ("bf16", "fp32")
        self._num_parts = 1 if precision == "int8-dynamic" else 2
        self.device = torch.device(device)
        # Integers are widened to what tensor cores take; on a CPU, to what every operator does well.
        is_bf16 = precision == "bf16" or (self._is_integer and self.device.type == "cuda")
        self.dtype = torch.bfloat16 if is_bf16 else torch.float32
        # Of the layers made so far; `core_model/passes.py` says what it is good for.
        self.has_exact_rows = self._is_integer

    def tensor(self, name: str, *, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor, in the compute dtype unless told.

        Raises:
            ValueError: the checkpoint has no such tensor.
        """
        return self._kept(name).to(dtype or self.dtype)

    def stored(self, name: str) -> Tensor:
        """A whole tensor in the checkpoint's own dtype (the embedding table is read by the row, so not cast)."""
        return self._kept(name, is_whole=True)

    def linear(self, prefix: str, *parts: str, bias: bool = False) -> Linear:
        """The layers `prefix.part` for all `parts`, which share their input, as one layer with outputs side by side."""
        names = [f"{prefix}.{part}.weight" if prefix else f"{part}.weight" for part in parts]
        bias_O = _cat([self.tensor(f"{prefix}.{part}.bias") for part in parts]) if bias else None
        if self._has_few_bits(names[0]):
            packed = self._packed_weights([names])
            if self._kernels and packed:
                return NativeLinear(self._kernels, packed[0], bias_O)
            self.has_exact_rows = False
            return few_bit_linear([unpack(w) for w in packed] or [self._few_bits(name) for name in names], bias_O)
        if self._is_integer:
            return self._int8(names, bias_O)
        return DenseLinear(self._cast(names), bias_O)

    def grouped_linear(self, prefixes: Sequence[str], *parts: str, rows_per_token: int) -> GroupedLinear:
        """`linear(prefix, *parts)` for each prefix, that is, each expert; a token has rows in so many of them."""
        experts = [[f"{prefix}.{part}.weight" for part in parts] for prefix in prefixes]
        if self._has_few_bits(experts[0][0]):
            packed = self._packed_weights(experts)
            if self._kernels and packed:
                return NativeGroupedLinear([NativeLinear(self._kernels, weight) for weight in packed])
            self.has_exact_rows = False
            weights: list[list[Weight]] = [[unpack(weight)] for weight in packed]
            return few_bit_grouped_linear(weights or [[self._few_bits(name) for name in names] for names in experts])
        if self._is_integer:
            names = [name for expert in experts for name in expert]
            return self._int8_experts(self._quantized(names), len(experts), rows_per_token)
        return DenseGroupedLinear([self._cast(names) for names in experts])

    def stacked_linear(
        self, name: str, *, num_experts: int, rows_per_token: int, interleaved: int = 1
    ) -> GroupedLinear:
        """The experts' layers that one tensor (experts, inputs, outputs) holds.

        Args:
            name: The whole name; such tensors have no `.weight` at the end.
            interleaved: Layers whose outputs take turns in the last dimension; they come out side by side.
        """

        def read_experts() -> list[Tensor]:
            stacked_EIO = self._dense(name)
            return [side_by_side(w_IO.t(), interleaved) for w_IO in stacked_EIO]

        if self._precision == "int4":
            self.has_exact_rows = False
            return few_bit_grouped_linear([[self._rounded(name, weight_OI)] for weight_OI in read_experts()])
        if self._is_integer:
            return self._int8_experts(self._quantized([name], read_experts), num_experts, rows_per_token)
        return DenseGroupedLinear([weight_OI.to(self.dtype) for weight_OI in read_experts()])

    def _int8(self, names: Sequence[str], bias_O: Tensor | None) -> Linear:
        q_OI, scale_O = self._quantized(names)
        if self._kernels and self._precision == "int4":  # the head, beside layers whose activations have 8 bits as well
            codes_OI, scale_O1 = q_OI.view(torch.uint8) ^ 128, scale_O.unsqueeze(-1)  # q + 128
            if packed := pack([QuantizedWeight(codes_OI, scale_O1, scale_O1 * -128, 8)]):
                return NativeLinear(self._kernels, packed, bias_O)
        self.has_exact_rows &= has_integer_product(self.device) and q_OI.shape[1] % ALIGNMENT == 0
        return Int8Linear(q_OI, scale_O, bias_O, num_parts=self._num_parts)

    def _int8_experts(self, packed: tuple[Tensor, Tensor], num_experts: int, rows_per_token: int) -> GroupedLinear:
        self.has_exact_rows &= has_integer_product(self.device) and packed[0].shape[1] % ALIGNMENT == 0
        return Int8GroupedLinear(
            *packed, num_experts=num_experts, rows_per_token=rows_per_token, num_parts=self._num_parts
        )

    def _has_few_bits(self, name: str) -> bool:
        """Whether this layer's weight is, or shall be, a `QuantizedWeight`."""
        if (self._precision == "int4" and name not in _HEADS) or name in self._first_parts:
            return True
        return self._is_integer and isinstance(self._tensors.get(name), QuantizedWeight)

    def _few_bits(self, name: str) -> Weight:
        """As the checkpoint has it, if in grouped integers; else rounded to what `bits` say."""
        weight = self._raw(name)
        return weight if isinstance(weight, QuantizedWeight) else self._rounded(name, weight)

    def _packed_weights(self, experts: Sequence[Sequence[str]]) -> list[PackedWeight]:
        """Each expert's layers side by side for the kernels; empty if nobody wants that, or they do not take them."""
        key = f"{experts[0][0]}+{len(experts[0]) - 1}"
        if key in self._blocks:
            return unstacked(self._kept(f"{key}.blocks"), self._kept(f"{key}.sizes"))
        if self._kernels is None and self._packed is None:
            return []
        found = [pack([self._few_bits(name) for name in names]) for names in experts]
        packed = [weight for weight in found if weight is not None]
        if len(packed) < len(found):
            return []
        if self._packed is not None:
            self._packed |= dict(zip((f"{key}.blocks", f"{key}.sizes"), stacked(packed), strict=True))
        return packed

    def _rounded(self, name: str, weight_OI: Tensor) -> Weight:
        bits = self._bits.get(name.removesuffix(".weight"), 4)
        if bits not in _SCHEMES:
            raise ValueError(f"bits: must be 4, 8 or 16 (got {bits} for {name}). Make the plan again.")
        scheme = _SCHEMES[bits]
        if scheme is None:
            return weight_OI.to(self.dtype)
        if scheme.group_size and weight_OI.shape[1] % scheme.group_size:
            scheme = replace(scheme, group_size=None)
        return round_to_nearest(weight_OI, scheme)

    def _quantized(
        self, names: Sequence[str], read: Callable[[], Sequence[Tensor]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The int8 rows of these weights and their scales: packed ones if there are, else made now."""
        keys = tuple(f"{names[0]}+{len(names) - 1}.{what}" for what in ("int8", "scale"))
        if keys[0] not in self._tensors:
            found = quantize_int8(read() if read else [self._dense(name) for name in names])
            if self._packed is not None:
                self._packed |= dict(zip(keys, found, strict=True))
        else:
            found = self._kept(keys[0]), self._kept(keys[1])
        return found

    def _cast(self, names: Sequence[str]) -> Tensor:
        return _cat([self._dense(name).to(self.dtype) for name in names])

    def _kept(self, name: str, *, is_whole: bool = False) -> Tensor:
        tensor = self._dense(name, is_whole=is_whole)
        if self._packed is not None:
            self._packed[name] = tensor
        return tensor

    def _dense(self, name: str, *, is_whole: bool = False) -> Tensor:
        weight = self._raw(name, is_whole=is_whole)
        return weight.dequantize() if isinstance(weight, QuantizedWeight) else weight

    def _raw(self, name: str, *, is_whole: bool = False) -> Weight:
        """As the checkpoint has it: a format of grouped integers gives these, for a layer that computes with them."""
        try:
            weight = self._tensors[name]
        except KeyError:
            raise ValueError(f"checkpoint: tensor {name} is missing. Convert or download the model again.") from None
        if self._config and not is_whole:
            weight = self.share.part(name, weight, self._config)
        return weight.to(self.device)


def side_by_side(rows: Tensor, parts: int) -> Tensor:
    """Rows that take turns (a0 b0 a1 b1 ..) as `parts` blocks (a0 a1 .. b0 b1 ..), contiguous."""
    return rows.reshape(-1, parts, *rows.shape[1:]).transpose(0, 1).flatten(0, 1).contiguous()


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
