"""Trains the tower: first parameters, variations of a picture, one loop. Ignores where pictures come from, and figures.

Seeds are fixed: same data, same weights. Shapes as in `tower.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.train.balance import update_bias
from core_model.weights import Weights
from verticals.medical.vision.tower import Tower, TowerSize

Parameters = dict[str, Tensor]
_CORRECTION = "mlp.gate.e_score_correction_bias"
BALANCE_RATE = 1e-3  # as DeepSeek-V3 has it


@dataclass(frozen=True)
class Pictures:
    """What to learn from.

    Attributes:
        pixels_BSS: fp32, each of mean 0 and variance 1.
        labels_BK: 0 or 1.
    """

    pixels_BSS: Tensor
    labels_BK: Tensor

    def __len__(self) -> int:
        return len(self.pixels_BSS)

    def __getitem__(self, rows: Tensor) -> Pictures:
        return Pictures(self.pixels_BSS[rows], self.labels_BK[rows])


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    seed: int = 0


def first_parameters(size: TowerSize, seed: int) -> Parameters:
    """Random parameters; names are the checkpoint's."""
    draw, dim, width = torch.Generator().manual_seed(seed), size.widths[-1], size.expert_dim

    def normal(*shape: int, gain: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=draw) * (gain / math.sqrt(math.prod(shape[1:])))

    made: Parameters = {"model.norm.weight": torch.ones(dim)}
    before = 1
    for i, after in enumerate(size.widths):
        for name, inputs in (("down", before), ("same", after)):
            made[f"stem.{i}.{name}.weight"] = normal(after, inputs, 3, 3, gain=math.sqrt(2))
            made[f"stem.{i}.{name}.scale"], made[f"stem.{i}.{name}.shift"] = torch.ones(after), torch.zeros(after)
        before = after
    for i in range(size.num_layers):
        layer = f"model.layers.{i}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"{layer}.{name}.weight"] = torch.ones(dim)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            made[f"{layer}.self_attn.{name}.weight"] = normal(dim, dim, gain=0.5)
        made[f"{layer}.mlp.gate.weight"] = normal(size.num_experts, dim)
        made[f"{layer}.{_CORRECTION}"] = torch.zeros(size.num_experts)
        for expert in ("shared_experts", *(f"experts.{e}" for e in range(size.num_experts))):
            made[f"{layer}.mlp.{expert}.gate_proj.weight"] = normal(width, dim)
            made[f"{layer}.mlp.{expert}.up_proj.weight"] = normal(width, dim)
            made[f"{layer}.mlp.{expert}.down_proj.weight"] = normal(dim, width, gain=0.5)
    for head in ("attention", "evidence"):
        made[f"head.{head}.weight"] = normal(size.num_kinds, dim, gain=0.3)
        made[f"head.{head}.bias"] = torch.zeros(size.num_kinds)
    return made


def train(pictures: Pictures, size: TowerSize, recipe: Recipe) -> Parameters:
    """Parameters that fit the pictures: AdamW, one cosine, experts balanced by their selection bias alone."""
    made = first_parameters(size, recipe.seed)
    learned = [tensor.requires_grad_() for name, tensor in made.items() if not name.endswith(_CORRECTION)]
    num_steps = recipe.epochs * math.ceil(len(pictures) / recipe.batch_size)
    optimizer, schedule = one_cycle(learned, recipe.learning_rate, recipe.weight_decay, num_steps=num_steps)
    draw = torch.Generator().manual_seed(recipe.seed)
    for batch in _batches(pictures, recipe, draw):
        tower = Tower(size, Weights(made, precision="fp32"))
        logits_BK = tower(varied(batch.pixels_BSS, draw)).logits_BK
        loss = F.binary_cross_entropy_with_logits(logits_BK, batch.labels_BK)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        for i, layer in enumerate(tower.layers):
            name = f"model.layers.{i}.{_CORRECTION}"
            made[name] = update_bias(made[name], torch.tensor(layer.mlp.counts).float(), rate=BALANCE_RATE)
    return {name: tensor.detach() for name, tensor in made.items()}


def one_cycle(
    learned: Sequence[Tensor], rate: float, weight_decay: float, *, num_steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.OneCycleLR]:
    """AdamW and its one rise and fall (Smith 2018, arXiv:1708.07120); vectors, as of norms, do not decay."""
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, num_steps, pct_start=0.15)


def _batches(pictures: Pictures, recipe: Recipe, draw: torch.Generator) -> Iterator[Pictures]:
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(len(pictures), generator=draw), recipe.batch_size):
            yield pictures[rows]


def varied(pixels_BSS: Tensor, draw: torch.Generator) -> Tensor:
    """Each picture turned, shifted, scaled, mirrored, bent in its grey values and made noisy at random."""
    num = len(pixels_BSS)
    turn, scale, x, y, mirror, contrast, gamma = (torch.rand(7, num, generator=draw) * 2 - 1).unbind()
    angle, scale, flip = turn * 0.15, 1 + scale * 0.12, mirror.sign()
    cos, sin = angle.cos() * scale, angle.sin() * scale
    affine_B23 = torch.stack(
        (torch.stack((cos * flip, -sin, x * 0.1), -1), torch.stack((sin * flip, cos, y * 0.1), -1)), 1
    )
    where = F.affine_grid(affine_B23, [num, 1, *pixels_BSS.shape[1:]], align_corners=False)
    moved_BSS = F.grid_sample(pixels_BSS[:, None], where, padding_mode="border", align_corners=False)[:, 0]
    bent_BSS = moved_BSS + 0.15 * gamma[:, None, None] * (moved_BSS.square() - 1)
    return bent_BSS * (1 + 0.15 * contrast[:, None, None]) + torch.randn(moved_BSS.shape, generator=draw) * 0.05
