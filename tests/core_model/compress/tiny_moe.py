"""A tiny seeded GLM-4-MoE in checkpoint form, whose routed experts matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core_model.upcycle import UpcycleRecipe, upcycle
from tests.core_model.tiny import LLAMA, random_llama

RECIPE = UpcycleRecipe(num_experts=8, expert_dim=32, experts_per_token=2, topk_group=2, groups=("a", "b", "c", "d"))
IDS = torch.randint(0, 256, (8, 64), generator=torch.Generator().manual_seed(1)).tolist()  # calibration
HELD_OUT = torch.randint(0, 256, (2, 64), generator=torch.Generator().manual_seed(2)).tolist()


def random_moe() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """config.json keys and tensors."""
    config, tensors = upcycle(LLAMA, random_llama(), RECIPE)
    generator = torch.Generator().manual_seed(3)
    for name, tensor in tensors.items():
        if ".experts." in name and "down_proj" in name:
            tensor.normal_(0, 0.2, generator=generator)
        elif name.endswith("mlp.gate.weight"):
            tensor.normal_(0, 0.5, generator=generator)
    return config, tensors
