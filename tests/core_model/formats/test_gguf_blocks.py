"""Every GGUF type decodes to exactly what the reference package makes of the same bytes."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from core_model.formats.gguf_blocks import decode_tensor
from core_model.quantized_weight import QuantizedWeight

BITS = {
    **{Kind.Q4_0: 4, Kind.Q4_1: 4, Kind.Q5_0: 5, Kind.Q5_1: 5, Kind.Q8_0: 8},
    **{Kind.Q4_K: 4, Kind.Q5_K: 5, Kind.Q6_K: 6},
}
# Where a block keeps its half-precision scales: random bytes there may be no finite numbers.
HALVES = {
    **{Kind.Q4_0: [0], Kind.Q4_1: [0, 2], Kind.Q5_0: [0], Kind.Q5_1: [0, 2], Kind.Q8_0: [0]},
    **{Kind.Q4_K: [0, 2], Kind.Q5_K: [0, 2], Kind.Q6_K: [208], Kind.MXFP4: []},
}


def random_blocks(kind: Kind, num_blocks: int) -> np.ndarray:
    random = np.random.default_rng(int(kind))
    blocks = random.integers(0, 256, (num_blocks, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    if kind == Kind.MXFP4:
        blocks[:, 0] = random.integers(100, 150, num_blocks)  # its exponents: results stay finite
    for at in HALVES[kind]:
        blocks[:, at : at + 2] = random.normal(0, 0.1, (num_blocks, 1)).astype(np.float16).view(np.uint8)
    return blocks


@pytest.mark.parametrize("kind", HALVES, ids=lambda kind: kind.name)
def test_random_blocks_equal_the_reference(kind: Kind) -> None:
    blocks = random_blocks(kind, 64)
    expected = torch.from_numpy(gguf.quants.dequantize(blocks, kind).copy()).view(8, -1)

    found = decode_tensor(torch.from_numpy(blocks).flatten(), kind, tuple(expected.shape))

    if kind in BITS:
        assert isinstance(found, QuantizedWeight)
        assert found.bits == BITS[kind]
        assert int(found.codes_OI.max()) == 2**found.bits - 1
        found = found.dequantize()
    assert torch.equal(found, expected)


def test_a_tensor_of_three_dimensions_is_dequantized() -> None:
    blocks = random_blocks(Kind.Q8_0, 24)

    found = decode_tensor(torch.from_numpy(blocks).flatten(), Kind.Q8_0, (2, 3, 128))

    assert isinstance(found, torch.Tensor)
    assert torch.equal(found.flatten(), torch.from_numpy(gguf.quants.dequantize(blocks, Kind.Q8_0)).flatten())


def test_a_type_that_is_not_read_is_named() -> None:
    with pytest.raises(ValueError, match=r"IQ2_XXS is not read\. Use a file with one of: F32, F16"):
        decode_tensor(torch.zeros(66, dtype=torch.uint8), Kind.IQ2_XXS, (1, 256))
