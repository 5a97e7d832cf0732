"""A config.json's quantization_config finds its readers, or says what it may be."""

from __future__ import annotations

from typing import Any

import pytest

from core_model.formats.fp8 import Fp8Format
from core_model.formats.gptq import AwqFormat, GptqFormat
from core_model.formats.quantization_config import READERS, layer_formats


def test_a_plain_checkpoint_has_none() -> None:
    assert layer_formats({"model_type": "llama"}) == ()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [64, 32]}, Fp8Format(block=(64, 32))),
        ({"quant_method": "gptq", "bits": 4}, GptqFormat(bits=4, zero_shift=1)),
        ({"quant_method": "gptq", "bits": 8, "checkpoint_format": "gptq_v2"}, GptqFormat(bits=8, zero_shift=0)),
        ({"quant_method": "awq", "bits": 4, "version": "GEMM"}, AwqFormat()),
    ],
)
def test_methods_and_their_options(settings: dict[str, Any], expected: object) -> None:
    assert layer_formats({"quantization_config": settings})[0] == expected


def test_every_reader_is_named_when_a_method_is_unknown() -> None:
    with pytest.raises(ValueError, match=rf"got 'bitsandbytes'\). Use one of: {', '.join(sorted(READERS))}"):
        layer_formats({"quantization_config": {"quant_method": "bitsandbytes"}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"quant_method": "gptq", "bits": 3}, r"bits must be 2, 4 or 8 \(got 3\)"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, r"checkpoint_format .*got 'marlin'"),
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "version must be 'gemm'"),
        ({"quant_method": "awq", "bits": 8}, "bits must be 4"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "weight_block_size must be two numbers"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "format must be one of .*got 'marlin-24'"),
        (
            {"quant_method": "compressed-tensors", "format": "dense", "config_groups": {"a": {"format": "sparse"}}},
            "got 'sparse'",
        ),
    ],
)
def test_an_option_that_is_not_read_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer_formats({"quantization_config": settings})
