"""Adapters in PEFT's folder format: low-rank deltas (LoRA, arXiv:2106.09685) and learned prompts (arXiv:2104.08691).

A folder holds adapter_config.json and adapter_model.safetensors. It is read strictly: an option that would change the
result and is not implemented is refused by name. Ignores how adapters are applied: `core_model/adapter_bank.py`.
Shapes: I inputs, O outputs, R rank, K virtual tokens, D model dim.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors
from torch import Tensor

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."

# What is read, by peft_type, and what says nothing about the result. Any other key must be null, false or empty.
_READ = {
    "LORA": ("r", "lora_alpha", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern", "init_lora_weights"),
    "PROMPT_TUNING": ("num_virtual_tokens", "num_transformer_submodules"),
}
_HARMLESS = (
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision"),
    *("lora_dropout", "eva_config", "loftq_config", "megatron_core", "qalora_group_size"),
    *("num_attention_heads", "num_layers", "token_dim", "tokenizer_name_or_path", "tokenizer_kwargs"),
    *("prompt_tuning_init", "prompt_tuning_init_text"),
)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {"bias": ("none",), "task_type": ("CAUSAL_LM",)}
_REMEDIES = {"target_parameters": "Routed experts cannot be adapted. Target other layers."}
# Other ways to begin change the base weights too, which stay as they are here.
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")


@dataclass(frozen=True)
class LowRank:
    """What an adapter adds to one layer: x down^T up. `up_RO` holds the scale already."""

    down_RI: Tensor
    up_RO: Tensor

    @property
    def rank(self) -> int:
        """R."""
        return len(self.down_RI)


@dataclass(frozen=True)
class Adapter:
    """One adapter, read and checked.

    Attributes:
        id: sha256 of its files: adapters that differ in anything differ in this, whatever they are called.
        layers: By layer name, such as `model.layers.0.self_attn.q_proj`; empty for a learned prompt.
        prompt_KD: What stands before the prompt instead of embedded tokens; None for LoRA.
    """

    id: str
    layers: Mapping[str, LowRank] = field(default_factory=dict)
    prompt_KD: Tensor | None = None

    @property
    def num_virtual_tokens(self) -> int:
        """Positions that it takes before every prompt."""
        return 0 if self.prompt_KD is None else len(self.prompt_KD)


def read_adapter(folder: Path, sizes: Mapping[str, tuple[int, int]], *, hidden_size: int, max_rank: int) -> Adapter:
    """Read a folder for a model that has the layers `sizes`.

    Args:
        sizes: Layer name to (inputs, outputs), of every layer that can be adapted.
        max_rank: Larger ranks are refused.

    Returns:
        The adapter, fp32, on the CPU.

    Raises:
        ValueError: not an adapter folder, a damaged one, one for another model, or an unsupported option.
    """
    config, tensors, sha256 = _read_files(folder)
    kind = config.get("peft_type")
    if kind not in _READ:
        raise ValueError(f"peft_type: must be one of {', '.join(_READ)} (got {kind!r}). Train one of these kinds.")
    _check_options(config, kind)
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise ValueError(f"{TENSORS}: {name} must hold finite floats (got {tensor.dtype}). Export it again.")
    if kind == "PROMPT_TUNING":
        return Adapter(sha256, prompt_KD=_read_prompt(config, tensors, hidden_size))
    return Adapter(sha256, layers=_read_layers(config, tensors, sizes, max_rank=max_rank))


def _read_files(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """Config, tensors, and the sum of both: the config's scale is as much a part of the adapter as its weights."""
    try:
        written, packed = (folder / CONFIG).read_bytes(), (folder / TENSORS).read_bytes()
    except OSError as error:
        missing = Path(error.filename or folder).name
        raise ValueError(
            f"adapter: {missing} is missing (got {folder.name!r}). Give a folder that PEFT saved."
        ) from error
    try:
        config = json.loads(written)
        tensors = parse_safetensors(packed)
    except (ValueError, SafetensorError) as error:
        raise ValueError(f"adapter: damaged files (got {folder.name!r}: {error}). Copy the folder again.") from error
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG}: must be an object (got {type(config).__name__}). Copy the folder again.")
    sha256 = hashlib.sha256(hashlib.sha256(written).digest() + hashlib.sha256(packed).digest()).hexdigest()
    return config, tensors, sha256


def _check_options(config: Mapping[str, Any], kind: str) -> None:
    known = {*_READ[kind], *_HARMLESS}
    for name, value in config.items():
        is_nothing = value is None or value is False or value == {} or value == []
        if name not in known and not is_nothing and value not in _NEUTRAL.get(name, ()):
            remedy = _REMEDIES.get(name, "Train the adapter without it.")
            raise ValueError(f"{name}: not supported (got {value!r}). {remedy}")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise ValueError(
            f"init_lora_weights: {start!r} changes the base model too. Convert the adapter with PEFT's "
            "`path_initial_model_for_weight_conversion`, or train it with true."
        )
    if config.get("num_transformer_submodules") not in (None, 1):
        raise ValueError("num_transformer_submodules: must be 1, for a decoder. Train the adapter for this model.")


def _read_prompt(config: Mapping[str, Any], tensors: Mapping[str, Tensor], hidden_size: int) -> Tensor:
    _check_names(tensors, {"prompt_embeddings"})
    expected = _count(config, "num_virtual_tokens"), hidden_size
    return _shaped(tensors, "prompt_embeddings", expected)


def _read_layers(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: Mapping[str, tuple[int, int]], *, max_rank: int
) -> dict[str, LowRank]:
    targets = _targets(config, sizes)
    parts = {f"{_PREFIX}{name}.lora_{part}.weight" for name in targets for part in "AB"}
    _check_names(tensors, parts)
    ranks, alphas = _pattern(config, "rank_pattern"), _pattern(config, "alpha_pattern")
    layers = {}
    for name in targets:
        rank = _count({"r": _matching(ranks, name, config.get("r"))}, "r")
        if rank > max_rank:
            raise ValueError(f"r: at most {max_rank} (got {rank}). Raise max_rank, or train with a lower rank.")
        alpha = _matching(alphas, name, config.get("lora_alpha"))
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            raise ValueError(f"lora_alpha: must be a number (got {alpha!r}). Export the adapter again.")
        inputs, outputs = sizes[name]
        scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
        down_RI = _shaped(tensors, f"{_PREFIX}{name}.lora_A.weight", (rank, inputs))
        up_OR = _shaped(tensors, f"{_PREFIX}{name}.lora_B.weight", (outputs, rank))
        layers[name] = LowRank(down_RI.contiguous(), (up_OR.t() * scale).contiguous())
    return layers


def _targets(config: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]]) -> list[str]:
    """The layers that `target_modules` names, as PEFT does: a list has ends of their paths, a text is an expression."""
    listed = config.get("target_modules")
    if isinstance(listed, str):
        try:
            found = [name for name in sizes if re.fullmatch(listed, name)]
        except re.error as error:
            raise ValueError(f"target_modules: not an expression (got {listed!r}: {error}). List the layers.") from None
        if not found:
            raise ValueError(f"target_modules: fits no layer of this model (got {listed!r}). List the layers.")
        return found
    if not isinstance(listed, list) or not listed:
        raise ValueError(
            f"target_modules: must be a list of layer names or an expression (got {listed!r}). Name the layers."
        )
    for target in listed:
        if not any(_ends_with(name, str(target)) for name in sizes):
            can = ", ".join(sorted({name.rpartition(".")[2] for name in sizes}))
            raise ValueError(f"target_modules: this model can adapt {can} (got {target!r}). Train without it.")
    return [name for name in sizes if any(_ends_with(name, str(target)) for target in listed)]


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _pattern(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    patterns = config.get(key) or {}
    if not isinstance(patterns, dict) or not all(re.fullmatch(r"[\w.]+", name) for name in patterns):
        raise ValueError(f"{key}: keys must be plain layer names (got {patterns!r}). Write them out.")
    return patterns


def _matching(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    return next((value for target, value in patterns.items() if _ends_with(name, target)), default)


def _count(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{key}: must be a whole number of at least 1 (got {value!r}). Export the adapter again.")
    return value


def _check_names(tensors: Mapping[str, Tensor], expected: set[str]) -> None:
    if missing := sorted(expected - set(tensors)):
        raise ValueError(f"{TENSORS}: {missing[0]} is missing ({len(missing)} in all). Copy the folder again.")
    if extra := sorted(set(tensors) - expected):
        why = "Routed experts cannot be adapted. " if ".experts." in extra[0] else ""
        raise ValueError(f"{TENSORS}: {extra[0]} belongs to no layer that can be adapted. {why}Train without it.")


def _shaped(tensors: Mapping[str, Tensor], name: str, expected: tuple[int, ...]) -> Tensor:
    found = tuple(tensors[name].shape)
    if found != expected:
        raise ValueError(
            f"{TENSORS}: {name} must have shape {expected} (got {found}). Use the base model that it was trained on."
        )
    return tensors[name].to(torch.float32)
