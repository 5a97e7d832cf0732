"""Random adapters for tiny models, in the folders that PEFT writes. Ignores PEFT: `tests/oracle` compares with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.core_model.tiny import random_llama

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def lora_tensors(*, seed: int, rank: int = 4, targets: Sequence[str] = ALL) -> dict[str, Tensor]:
    """Tensors of a LoRA adapter for `tiny.LLAMA`, large enough to change its answers."""
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, weight in random_llama().items():
        layer = name.removesuffix(".weight")
        if layer.endswith(tuple(targets)):
            outputs, inputs = weight.shape
            tensors[f"base_model.model.{layer}.lora_A.weight"] = torch.randn(rank, inputs, generator=random) * 0.3
            tensors[f"base_model.model.{layer}.lora_B.weight"] = torch.randn(outputs, rank, generator=random) * 0.3
    return tensors


def write_folder(folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Path:
    """An adapter's folder."""
    folder.mkdir(parents=True)
    save_file(dict(tensors), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_lora(
    folder: Path,
    *,
    seed: int,
    rank: int = 4,
    targets: Sequence[str] = ALL,
    tensors: Mapping[str, Tensor] | None = None,
    **options: Any,
) -> Path:
    """A LoRA adapter; `options` go into its config."""
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "target_modules": list(targets), "bias": "none"}
    made = lora_tensors(seed=seed, rank=rank, targets=targets) if tensors is None else tensors
    return write_folder(folder, made, {**config, **options})


def write_prompt(folder: Path, *, seed: int, num_tokens: int = 5) -> Path:
    """A learned prompt for `tiny.LLAMA`."""
    random = torch.Generator().manual_seed(seed)
    tensors = {"prompt_embeddings": torch.randn(num_tokens, 32, generator=random)}
    return write_folder(folder, tensors, {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": num_tokens})
