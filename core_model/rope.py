"""Rotary positions (RoFormer, arXiv:2104.09864): each pair of a head's dimensions turns by its own angle per token.

Reaches beyond the trained context by slowing some pairs down: linear (arXiv:2306.15595), llama3 (Llama 3.1), YaRN
(arXiv:2309.00071). Ignores what is rotated. Shapes: T tokens, P rotated dimensions, P / 2 pairs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from core_model.config import ModelConfig, RopeScaling


class Rope:
    """cos and sin of every pair's angle at given positions."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        exponent = torch.arange(0, config.rotary_dim, 2, device=device).float() / config.rotary_dim
        inv_freq, scaling = 1.0 / config.rope_theta**exponent, config.rope_scaling
        if scaling.rope_type == "linear":
            inv_freq = inv_freq / scaling.factor
        elif scaling.rope_type == "llama3":
            inv_freq = _llama3(inv_freq, scaling)
        elif scaling.rope_type == "yarn":
            inv_freq = _yarn(inv_freq, scaling, theta=config.rope_theta)
        self.inv_freq, self.attention_factor = inv_freq, attention_factor(scaling)

    def __call__(self, position_T: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """cos and signed sin, each (T, 1, P), split halves; for `rotate_`."""
        angle = position_T.float()[:, None, None] * self.inv_freq
        cos, sin = angle.cos(), angle.sin()
        if self.attention_factor != 1:
            cos, sin = cos * self.attention_factor, sin * self.attention_factor
        cos, sin = cos.to(dtype), sin.to(dtype)
        return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def rotate_(x: Tensor, cos: Tensor, signed_sin: Tensor) -> None:
    """Turn each pair (i, i + P / 2) of the last dimension by its angle, in place."""
    torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), signed_sin, out=x)


def rotated_pairs(x: Tensor, cos: Tensor, signed_sin: Tensor) -> Tensor:
    """`split_pairs`, turned as by `rotate_`."""
    rotated = split_pairs(x)
    rotate_(rotated, cos, signed_sin)
    return rotated


def split_pairs(x: Tensor) -> Tensor:
    """Pairs that are neighbours (2i, 2i + 1), put halves apart. Queries and keys alike: their products stay."""
    return torch.cat((x[..., 0::2], x[..., 1::2]), -1)


def attention_factor(scaling: RopeScaling) -> float:
    """YaRN's factor on cos and sin, that is, its square on the scores of what is rotated; 1 for other types."""
    if scaling.rope_type != "yarn":
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    if scaling.mscale and scaling.mscale_all_dim:
        return _mscale(scaling.factor, scaling.mscale) / _mscale(scaling.factor, scaling.mscale_all_dim)
    return _mscale(scaling.factor, 1.0)


def latent_score_factor(scaling: RopeScaling) -> float:
    """DeepSeek's factor on all scores of latent attention under YaRN, whether rotated or not; 1 without."""
    return _mscale(scaling.factor, scaling.mscale_all_dim) ** 2 if scaling.mscale_all_dim else 1.0


def _mscale(factor: float, weight: float) -> float:
    return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0


def _llama3(inv_freq: Tensor, scaling: RopeScaling) -> Tensor:
    """Pairs that turn often in the old context stay, those that hardly turn are slowed, between them a ramp."""
    turns = scaling.original_max_position_embeddings * inv_freq / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return inv_freq / scaling.factor * (1 - kept) + inv_freq * kept


def _yarn(inv_freq: Tensor, scaling: RopeScaling, *, theta: float) -> Tensor:
    """As llama3, but the ramp is linear in the pair's index."""
    num_pairs = len(inv_freq)

    def pair_with(num_turns: float) -> float:
        context = scaling.original_max_position_embeddings
        return num_pairs * math.log(context / (num_turns * 2 * math.pi)) / math.log(theta)

    low, high = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * num_pairs - 1)
    index = torch.arange(num_pairs, device=inv_freq.device).float()
    slowed = ((index - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    return inv_freq / scaling.factor * slowed + inv_freq * (1 - slowed)
