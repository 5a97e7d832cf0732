"""Random grouped integers for tests: the weights themselves are the truth, nothing is rounded."""

from __future__ import annotations

import torch

from core_model.quantized_weight import QuantizedWeight


def random_quantized(
    outputs: int, inputs: int, *, bits: int = 4, group_size: int = 32, symmetric: bool = True, seed: int = 0
) -> QuantizedWeight:
    """Random codes, scales that bf16 cannot say, whole zero points."""
    generator = torch.Generator().manual_seed(seed)
    groups = inputs // group_size
    codes_OI = torch.randint(0, 2**bits, (outputs, inputs), dtype=torch.uint8, generator=generator)
    scale_OG = torch.rand(outputs, groups, generator=generator) * 0.02 + 0.01
    zeros_OG = torch.randint(0, 2**bits, (outputs, groups), generator=generator).float()
    if symmetric:
        zeros_OG.fill_(2 ** (bits - 1))
    return QuantizedWeight(codes_OI, scale_OG, -zeros_OG * scale_OG, bits)
