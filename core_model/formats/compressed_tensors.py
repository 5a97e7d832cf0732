"""compressed-tensors, the format of llm-compressor and vLLM: read and written without its package.

Integer weights are packed into int32 (`pack-quantized`) or lie in int8 (`int-quantized`), floats in fp8
(`float-quantized`). Bits, groups and symmetry follow from the tensors' shapes, so layers may differ. Ignores quantized
activations and caches (their scales are not read), sparsity and transforms.
Shapes: O outputs, I inputs, G groups (1: the whole row), W int32 words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core_model.formats.bits import BITS, pack, unpack
from core_model.formats.fp8 import FP8, scale_tiles
from core_model.formats.layers import Shape
from core_model.quantized_weight import QuantizedWeight, Weight, grouped_weight


@dataclass(frozen=True)
class PackedFormat:
    """`weight_packed` (O, W), `weight_scale` (O, G), `weight_shape` (2,), `weight_zero_point` (W of O, G) packed."""

    marker: str = ".weight_packed"
    upstream: str = ".weight"
    required: tuple[str, ...] = (".weight_scale", ".weight_shape")
    optional: tuple[str, ...] = (".weight_zero_point", ".weight_g_idx")

    def decode(self, parts: Mapping[str, Tensor]) -> Weight:
        """Codes as they are; fp32 where activation order left no neighbouring groups."""
        packed_OW, scale_OG = parts[".weight_packed"], parts[".weight_scale"].float()
        outputs, inputs = map(int, parts[".weight_shape"])
        if inputs < 32 or packed_OW.shape[0] != outputs or scale_OG.shape[0] != outputs:
            raise ValueError(
                f"packed {list(packed_OW.shape)} and scales {list(scale_OG.shape)} of {outputs} x {inputs}"
            )
        bits = packed_OW.shape[1] * 32 // inputs  # rounding up to whole words adds less than a bit to each of 32 inputs
        codes_OI = unpack(packed_OW, bits)[:, :inputs].contiguous()
        zeros_OG: Tensor | int = 2 ** (bits - 1)
        if ".weight_zero_point" in parts:
            zeros_OG = unpack(parts[".weight_zero_point"].t(), bits).t()[:outputs]
        group_I = parts.get(".weight_g_idx")
        if group_I is not None and int(group_I.min()) < 0:  # the package fills an unused index with -1
            group_I = None
        return grouped_weight(codes_OI, scale_OG, -(scale_OG * zeros_OG), bits=bits, group_I=group_I)

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """As `weight_shape` says."""
        return tuple(map(int, read(".weight_shape")))


@dataclass(frozen=True)
class PlainFormat:
    """`weight` in int8 or fp8, `weight_scale`, and for asymmetric int8 `weight_zero_point`.

    Attributes:
        block: Tile of an fp8 scale, where the scales are neither one nor one to a row.
    """

    block: tuple[int, int] = (128, 128)
    marker: str = ".weight_scale"
    upstream: str = ".weight"
    required: tuple[str, ...] = (".weight",)
    optional: tuple[str, ...] = (".weight_zero_point",)

    def decode(self, parts: Mapping[str, Tensor]) -> Weight:
        """int8 codes as they are, fp8 as fp32."""
        weight, scale = parts[".weight"], parts[".weight_scale"]
        if weight.dtype in FP8:
            return scale_tiles(weight, scale, block=self.block)
        if weight.dtype != torch.int8:
            raise ValueError(f"the weight is {weight.dtype}, not int8 or fp8")
        scale_OG = scale.float().reshape(-1, 1).expand(len(weight), 1) if scale.ndim < 2 else scale.float()
        zeros_OG: Tensor | int = 128
        if ".weight_zero_point" in parts:
            zeros_OG = parts[".weight_zero_point"].float().reshape(-1, scale_OG.shape[1]) + 128
        codes = (weight.int() + 128).to(torch.uint8)
        return grouped_weight(codes, scale_OG.contiguous(), -(scale_OG * zeros_OG), bits=8)

    def shape(self, shapes: Mapping[str, Shape], read: Callable[[str], Tensor]) -> Shape:
        """As stored."""
        return shapes[".weight"]


def encode(name: str, weight: QuantizedWeight) -> dict[str, Tensor]:
    """A layer's tensors in `pack-quantized`, by their stored names; `name` is the layer's, without `.weight`.

    Scales are bf16 where that loses nothing, else fp32, which vLLM rounds to its own precision.

    Raises:
        ValueError: bits that do not fill a byte, or offsets that are no whole zero points (some GGUF types).
    """
    if weight.bits not in BITS:
        raise ValueError(f"{name}: bits must be one of {BITS} (got {weight.bits}). Write it dequantized.")
    scale_OG, zeros_OG = weight.scale_OG, _zero_points(name, weight)
    rounded = scale_OG.bfloat16()
    stored = {
        f"{name}.weight_packed": pack(weight.codes_OI, weight.bits),
        f"{name}.weight_scale": rounded if torch.equal(rounded.float(), scale_OG) else scale_OG,
        f"{name}.weight_shape": torch.tensor(weight.shape),
    }
    if not weight.is_symmetric:
        stored[f"{name}.weight_zero_point"] = pack(zeros_OG.t().contiguous(), weight.bits).t().contiguous()
    return stored


@dataclass(frozen=True)
class Scheme:
    """What layers of one config group share; `group_size` None is the whole row."""

    bits: int
    group_size: int | None
    is_symmetric: bool


def scheme_of(weight: QuantizedWeight) -> Scheme:
    """A weight's scheme: symmetric where the middle code stands for zero in every group."""
    whole_row = weight.scale_OG.shape[1] == 1
    return Scheme(weight.bits, None if whole_row else weight.group_size, weight.is_symmetric)


def quantization_config(schemes: Mapping[str, Scheme], dense: Iterable[str]) -> dict[str, Any]:
    """config.json's `quantization_config` for layers stored by `encode`.

    The commonest scheme targets every linear layer; layers with another are named, and so are those left dense.

    Args:
        schemes: By layer name, without `.weight`.
        dense: Names of layers that may be linear and are stored as they are (the head, routers).
    """
    groups: dict[str, Any] = {}
    for i, (scheme, _) in enumerate(Counter(schemes.values()).most_common()):
        targets = ["Linear"] if i == 0 else sorted(name for name, other in schemes.items() if other == scheme)
        groups[f"group_{i}"] = {"targets": targets, "weights": _arguments(scheme), "format": "pack-quantized"}
        groups[f"group_{i}"] |= {"input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": sorted(dense),
        "kv_cache_scheme": None,
        "global_compression_ratio": None,
    }


def _arguments(scheme: Scheme) -> dict[str, Any]:
    strategy = "channel" if scheme.group_size is None else "group"
    arguments = {"num_bits": scheme.bits, "type": "int", "symmetric": scheme.is_symmetric, "strategy": strategy}
    none = dict.fromkeys(("actorder", "block_structure"))
    return {**arguments, "group_size": scheme.group_size, "dynamic": False, "observer": "minmax", **none}


def _zero_points(name: str, weight: QuantizedWeight) -> Tensor:
    """uint8 (O, G); a group whose scale is 0 has any."""
    used = weight.scale_OG != 0
    zeros_OG = torch.where(used, -weight.offset_OG / weight.scale_OG, 0.0).round()
    off = (weight.offset_OG + zeros_OG * weight.scale_OG).abs()
    if bool((off > 1e-5 * weight.scale_OG.abs()).any()) or not 0 <= zeros_OG.min() <= zeros_OG.max() < 2**weight.bits:
        raise ValueError(f"{name}: its offsets are no whole zero points. Write it dequantized.")
    return zeros_OG.to(torch.uint8)
