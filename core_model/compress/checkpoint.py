"""A checkpoint folder in, the same in few bits out. Ignores which text is right for calibration.

What is written is compressed-tensors, so vLLM serves it and this core reads it; the tokenizer's files go along.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from core_model.checkpoint import new_folder, open_checkpoint, save_checkpoint, write_json, write_manifest
from core_model.compress.recipe import Quantized, Recipe, quantize_model
from core_model.config import parse_config
from core_model.quantized_weight import QuantizedWeight

_ALONG = (
    "tokenizer*",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template*",
    "vocab.json",
    "merges.txt",
)


def quantize_checkpoint(
    source: Path,
    target: Path,
    recipe: Recipe,
    *,
    windows: Sequence[Sequence[int]] = (),
    on_progress: Callable[[str, float], None] = lambda what, done: None,
) -> Quantized:
    """Quantize `source` into the new folder `target`.

    Args:
        source: A checkpoint folder that is not quantized yet.
        target: Must not exist; it appears whole or not at all.
        windows: Calibration tokens, as `quantize_model` takes them.
        on_progress: Called with what is being done and the share of it that is done.

    Raises:
        ValueError: `target` exists, `source` is quantized already, free offsets, which the format cannot write, or as
            `quantize_model`.
    """
    if target.exists():
        raise ValueError(f"out: must not exist yet (got {target.name!r}). Name a new folder.")
    if recipe.scheme.offset == "free":
        raise ValueError("offset: compressed-tensors cannot write free offsets. Use 'symmetric' or 'integer'.")
    checkpoint = open_checkpoint(source)
    if checkpoint.config.get("quantization_config"):
        raise ValueError(f"model: {source.name!r} is quantized already. Start from its original.")
    tensors: Any = checkpoint.weights
    found = quantize_model(
        parse_config(checkpoint.config),
        tensors,
        recipe,
        windows=windows,
        on_progress=lambda done: on_progress("Quantizing", done),
    )
    over: Mapping[str, Tensor | QuantizedWeight] = found.over(tensors)
    with new_folder(target) as partial:
        save_checkpoint(partial, checkpoint.config, over, on_progress=lambda done: on_progress("Writing", done))
        for pattern in _ALONG if source.is_dir() else ():
            for path in source.glob(pattern):
                shutil.copyfile(path, partial / path.name)
        write_json(partial / "quantization.json", _summary(source, recipe, found))
        write_manifest(partial, name=target.name)
    return found


def _summary(source: Path, recipe: Recipe, found: Quantized) -> dict[str, Any]:
    """For people: how the folder was made, and what calibration did not reach."""
    scheme = recipe.scheme
    return {
        "source": source.name,
        "method": recipe.method,
        "scheme": {"bits": scheme.bits, "group_size": scheme.group_size, "offset": scheme.offset},
        "other_bits": dict(recipe.bits),
        "quantized_share_of_bytes": {"experts": found.coverage.experts, "linear": found.coverage.linear},
        "rounded_to_nearest": [
            {"names": list(one.names), "num_tokens": one.num_tokens, "num_inputs": one.num_inputs}
            for one in found.undertrained
        ],
    }
