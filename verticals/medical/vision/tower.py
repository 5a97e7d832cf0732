"""The image tower: a convolutional stem makes patches, the core's mixture-of-experts blocks mix them, heads read them.

Built from the core's `Weights` as its decoder is: from fp32 parameters while it trains (the very same code then carries
gradients), from int8 once shipped. Ignores where pictures and weights come from.
Shapes: B pictures, S pixels a side, C channels, N patches, D width, H heads, R head dim, K kinds of finding, T = B * N.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.moe import MoE
from core_model.norm import RMSNorm
from core_model.weights import Weights

_EPS = 1e-6
_NORM_GROUPS = 8
_FUSED = {"q_proj": ("q_proj", "k_proj", "v_proj"), "gate_proj": ("gate_proj", "up_proj")}  # layers with one input


@dataclass(frozen=True)
class TowerSize:
    """Of the tower. Each stage of the stem halves the picture's side.

    Attributes:
        side: Pixels a side that pictures are resized to.
        widths: Channels of each stage; the last is the width of the blocks.
        num_kinds: Kinds of finding that are told apart.
    """

    side: int = 64
    widths: tuple[int, ...] = (16, 32, 64)
    num_layers: int = 2
    num_heads: int = 4
    num_experts: int = 4
    experts_per_token: int = 2
    expert_dim: int = 64
    num_kinds: int = 1

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.side >> len(self.widths)

    @property
    def core(self) -> ModelConfig:
        """As the core's blocks read it; what only a decoder needs is at its smallest."""
        dim = self.widths[-1]
        return ModelConfig(
            model_type="glm4_moe",
            vocab_size=1,
            hidden_size=dim,
            intermediate_size=self.expert_dim,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            num_key_value_heads=self.num_heads,
            head_dim=dim // self.num_heads,
            max_position_embeddings=self.grid**2,
            rms_norm_eps=_EPS,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            n_routed_experts=self.num_experts,
            n_shared_experts=1,
            num_experts_per_tok=self.experts_per_token,
            moe_intermediate_size=self.expert_dim,
        )


@dataclass(frozen=True)
class Reading:
    """What the tower makes of pictures.

    Attributes:
        logits_BK: Of each kind of finding that it was trained to tell.
        patches_BNX: What it knows of each patch, row after row: the mean of each stage's channels, then what the blocks
            made of it.
    """

    logits_BK: Tensor
    patches_BNX: Tensor


class Tower:
    """Pictures to readings."""

    def __init__(self, size: TowerSize, weights: Weights) -> None:
        self.size = size
        self.stem = [Stage(weights, f"stem.{i}") for i in range(len(size.widths))]
        self.layers = [PatchLayer(size.core, weights, i) for i in range(size.num_layers)]
        self.norm = RMSNorm(weights, "model.norm", eps=_EPS)
        self.position_ND = grid_positions(size.grid, size.widths[-1])
        self.attention = weights.linear("head", "attention", bias=True)
        self.evidence = weights.linear("head", "evidence", bias=True)

    def __call__(self, pictures_BSS: Tensor) -> Reading:
        """Read pictures, fp32, each of mean 0 and variance 1; each kind looks at the patches it finds telling."""
        known, x_BND = self.begin(pictures_BSS)
        for layer in self.layers:
            x_BND = layer(x_BND)
        x_BND = self.norm(x_BND)
        x_TD, shape = x_BND.flatten(0, 1), x_BND.shape[:2]
        share_BNK = self.attention(x_TD).view(*shape, -1).softmax(1)
        logits_BK = (share_BNK * self.evidence(x_TD).view(*shape, -1)).sum(1)
        return Reading(logits_BK, torch.cat((*known, x_BND), -1))

    def begin(self, pictures_BSS: Tensor) -> tuple[list[Tensor], Tensor]:
        """What each stage of the stem knows of each patch, and what the blocks begin with, (B, N, D)."""
        x_BCSS, known = pictures_BSS.unsqueeze(1), []
        for stage in self.stem:
            x_BCSS = stage(x_BCSS)
            known.append(F.adaptive_avg_pool2d(x_BCSS, self.size.grid).flatten(2).transpose(1, 2))
        return known, known[-1] + self.position_ND


class Stage:
    """Halve the side with a 3x3 convolution, then add what a second one finds (He 2016, arXiv:1512.03385)."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self.down = Convolution(weights, f"{prefix}.down", stride=2)
        self.same = Convolution(weights, f"{prefix}.same", stride=1)

    def __call__(self, x_BCSS: Tensor) -> Tensor:
        x_BCSS = F.relu(self.down(x_BCSS))
        return F.relu(x_BCSS + self.same(x_BCSS))


class Convolution:
    """3x3, then normalised in groups of channels (arXiv:1803.08494), which needs no statistics of other pictures."""

    def __init__(self, weights: Weights, prefix: str, *, stride: int) -> None:
        self.weight, self.stride = weights.tensor(f"{prefix}.weight"), stride
        self.scale_C, self.shift_C = weights.tensor(f"{prefix}.scale"), weights.tensor(f"{prefix}.shift")

    def __call__(self, x_BCSS: Tensor) -> Tensor:
        x_BCSS = F.conv2d(x_BCSS, self.weight, stride=self.stride, padding=1)
        return F.group_norm(x_BCSS, _NORM_GROUPS, self.scale_C, self.shift_C, eps=_EPS)


class PatchLayer:
    """The core's block, where every patch of a picture sees every other."""

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix = f"model.layers.{layer_idx}"
        self.num_heads = config.num_attention_heads
        self.input_layernorm = RMSNorm(weights, f"{prefix}.input_layernorm", eps=_EPS)
        self.qkv_proj = weights.linear(f"{prefix}.self_attn", "q_proj", "k_proj", "v_proj")
        self.o_proj = weights.linear(f"{prefix}.self_attn", "o_proj")
        self.post_attention_layernorm = RMSNorm(weights, f"{prefix}.post_attention_layernorm", eps=_EPS)
        self.mlp = MoE(config, weights, prefix)

    def __call__(self, x_BND: Tensor) -> Tensor:
        num, patches, dim = x_BND.shape
        qkv = self.qkv_proj(self.input_layernorm(x_BND).flatten(0, 1)).view(num, patches, 3, self.num_heads, -1)
        q_BHNR, k_BHNR, v_BHNR = qkv.permute(2, 0, 3, 1, 4)
        seen_BHNR = F.scaled_dot_product_attention(q_BHNR, k_BHNR, v_BHNR)
        x_BND = x_BND + self.o_proj(seen_BHNR.transpose(1, 2).reshape(-1, dim)).view_as(x_BND)
        return x_BND + self.mlp(self.post_attention_layernorm(x_BND).flatten(0, 1)).view_as(x_BND)


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """fp32 parameters from a tower in int8, through which gradients can go; `Weights` has packed it."""
    made = {name: tensor for name, tensor in tensors.items() if "+" not in name}
    for name in tensors:
        if name.endswith(".int8"):
            first, _, more = name.removesuffix(".int8").partition("+")
            prefix, _, part = first.removesuffix(".weight").rpartition(".")
            parts = _FUSED.get(part, (part,))
            num_experts = (int(more) + 1) // len(parts)
            names = [
                f"{prefix.replace('experts.0', f'experts.{e}')}.{p}.weight" for e in range(num_experts) for p in parts
            ]
            weight = tensors[name].float() * tensors[f"{first}+{more}.scale"][:, None]
            made |= zip(names, weight.chunk(len(names)), strict=True)
    return made


def grid_positions(grid: int, dim: int) -> Tensor:
    """Sines and cosines of each patch's row and column as shares of the side, (N, D): any grid, nothing to learn."""
    place_G = (torch.arange(grid) + 0.5) / grid
    waves_W = math.pi * 2.0 ** torch.arange(dim // 4).remainder(6)
    angle_GW = place_G[:, None] * waves_W
    wave_GX = torch.cat((angle_GW.sin(), angle_GW.cos()), 1)
    rows = wave_GX[:, None].expand(grid, grid, -1)
    return torch.cat((rows, rows.transpose(0, 1)), -1).flatten(0, 1) * 0.1
