"""Small integers in int32 words, as GPTQ, AWQ and compressed-tensors pack them: the first value in the lowest bits.

Ignores what the numbers mean. Shapes: N rows, W words, C values to a row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

BITS = (2, 4, 8)  # those that fill a byte evenly


def unpack(words_NW: Tensor, bits: int) -> Tensor:
    """int32 (N, W) to uint8 (N, W * 32 / bits).

    Raises:
        ValueError: not int32, or `bits` do not fill a byte evenly.
    """
    if words_NW.dtype != torch.int32 or bits not in BITS:
        raise ValueError(f"{bits}-bit values in {words_NW.dtype}; only {BITS} bits in int32 are read")
    bytes_NB1 = words_NW.contiguous().view(torch.uint8).unsqueeze(-1)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=words_NW.device)
    values_NBX: Tensor = (bytes_NB1 >> shifts) & (2**bits - 1)
    return values_NBX.flatten(1)


def pack(values_NC: Tensor, bits: int) -> Tensor:
    """uint8 (N, C) to int32 (N, C * bits / 32, rounded up); zeros fill the last word."""
    assert bits in BITS
    rows, per_byte = len(values_NC), 8 // bits
    padded = F.pad(values_NC, (0, -values_NC.shape[1] % (4 * per_byte)))
    values_NBX = padded.view(rows, -1, per_byte)
    bytes_NB = values_NBX[..., 0].clone()
    for i in range(1, per_byte):
        bytes_NB |= values_NBX[..., i] << (i * bits)
    return bytes_NB.view(torch.int32)
