"""Which formats a config.json announces: the table of readers, by `quantization_config.quant_method`.

Ignores tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from core_model.formats.compressed_tensors import PackedFormat, PlainFormat
from core_model.formats.fp8 import Fp8Format
from core_model.formats.gptq import AwqFormat, GptqFormat
from core_model.formats.layers import LayerFormat
from core_model.formats.mxfp4 import Mxfp4Format


def layer_formats(config: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    """The formats of a checkpoint's quantized layers; none for a plain one.

    Args:
        config: Keys of config.json.

    Raises:
        ValueError: a method, or an option of it, that is not read.
    """
    settings = config.get("quantization_config")
    if not settings:
        return ()
    method = str(settings.get("quant_method") if isinstance(settings, Mapping) else settings)
    if method not in READERS:
        raise ValueError(
            f"quantization_config: quant_method is not read (got {method!r}). Use one of: {', '.join(sorted(READERS))}."
        )
    return READERS[method](settings)


def _fp8(settings: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    block = settings.get("weight_block_size") or (128, 128)
    _require(len(block) == 2, "weight_block_size", block, "must be two numbers")
    tile = (int(block[0]), int(block[1]))
    return Fp8Format(block=tile), PlainFormat(block=tile)


def _mxfp4(settings: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    return (Mxfp4Format(),)


def _gptq(settings: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    layout, bits = settings.get("checkpoint_format") or "gptq", settings.get("bits", 0)
    _require(layout in _GPTQ_ZERO_SHIFT, "checkpoint_format", layout, f"must be one of {sorted(_GPTQ_ZERO_SHIFT)}")
    _require(bits in (2, 4, 8), "bits", bits, "must be 2, 4 or 8")
    return (GptqFormat(bits=int(bits), zero_shift=_GPTQ_ZERO_SHIFT[layout]),)


def _awq(settings: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    layout, bits = str(settings.get("version", "gemm")).lower(), settings.get("bits", settings.get("w_bit", 4))
    _require(layout == "gemm", "version", layout, "must be 'gemm'")
    _require(bits == 4, "bits", bits, "must be 4")
    return (AwqFormat(),)


def _compressed_tensors(settings: Mapping[str, Any]) -> tuple[LayerFormat, ...]:
    groups = settings.get("config_groups") or {}
    found = {group.get("format") or settings.get("format") for group in groups.values()} or {settings.get("format")}
    for layout in found:
        _require(layout in _COMPRESSED, "format", layout, f"must be one of {sorted(_COMPRESSED)}")
    transforms = settings.get("transform_config") or {}
    _require(not transforms.get("config_groups"), "transform_config", "rotations", "is not implemented")
    blocks = [((group.get("weights") or {}).get("block_structure")) for group in groups.values()]
    block = next((block for block in blocks if block), (128, 128))
    return PackedFormat(), PlainFormat(block=(int(block[0]), int(block[1])))


READERS: Mapping[str, Callable[[Mapping[str, Any]], tuple[LayerFormat, ...]]] = {
    "fp8": _fp8,
    "mxfp4": _mxfp4,
    "gptq": _gptq,
    "awq": _awq,
    "compressed-tensors": _compressed_tensors,
}
_GPTQ_ZERO_SHIFT = {"gptq": 1, "gptq_v2": 0}
_COMPRESSED = frozenset({"pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision"})


def _require(holds: bool, field: str, value: object, rule: str) -> None:
    if not holds:
        raise ValueError(f"quantization_config: {field} {rule} (got {value!r}). Use another version of this model.")
