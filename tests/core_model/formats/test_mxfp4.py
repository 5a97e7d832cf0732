"""MXFP4 blocks give exactly the values that the standard's table and exponents say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core_model.formats.layers import StoredLayers
from core_model.formats.mxfp4 import Mxfp4Format


def e2m1(code: int) -> float:
    """OCP Microscaling Formats 1.0, table 4: sign, two bits of exponent, one of mantissa."""
    exponent, mantissa = code >> 1 & 3, code & 1
    value = (1 + mantissa / 2) * 2.0 ** (exponent - 1) if exponent else mantissa / 2
    return -value if code >> 3 else value


def test_every_value_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (2, 3, 4, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(100, 150, (2, 3, 4), dtype=torch.uint8, generator=generator)
    expected = np.zeros((2, 3, 128))
    for expert, row, group, i in np.ndindex(2, 3, 4, 16):
        byte, scale = int(blocks[expert, row, group, i]), 2.0 ** (int(scales[expert, row, group]) - 127)
        expected[expert, row, 32 * group + 2 * i] = e2m1(byte & 15) * scale
        expected[expert, row, 32 * group + 2 * i + 1] = e2m1(byte >> 4) * scale
    layers = StoredLayers({"down_proj_blocks": blocks, "down_proj_scales": scales}, [Mxfp4Format()])

    found = layers["down_proj"]

    assert layers.shape("down_proj") == (2, 128, 3)
    assert isinstance(found, torch.Tensor)
    assert np.array_equal(found.transpose(1, 2).numpy(), expected)


def test_blocks_without_a_scale_each_are_refused() -> None:
    tensors = {"x_blocks": torch.zeros(2, 3, 4, 16, dtype=torch.uint8), "x_scales": torch.zeros(2, 3, 3)}

    with pytest.raises(ValueError, match=r"tensor x: x_blocks, x_scales do not fit together .*need a uint8 scale each"):
        StoredLayers(tensors, [Mxfp4Format()])["x"]
