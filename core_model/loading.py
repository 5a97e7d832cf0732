"""From a checkpoint folder or GGUF file to a decoder, a tokenizer, a started engine. Ignores where they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import torch

from core_model.checkpoint import MANIFEST, TensorFiles, open_checkpoint, sha256_of, verify
from core_model.config import load_config, parse_config
from core_model.constrain import ConstraintFactory
from core_model.draft_models import DraftModel, NextTokenHead, NextTokens, check_same_vocabulary
from core_model.engine import Engine
from core_model.formats.gguf_file import GGUFFile
from core_model.kernels import on_gpu
from core_model.kernels.library import Kernels, open_kernels, status
from core_model.kernels.step import Step, Unsupported
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.kv_precision import KVPrecision
from core_model.layout import check_tensors
from core_model.model import Decoder
from core_model.quantized_weight import Weight
from core_model.runner import ModelRunner
from core_model.speculate import Drafter, PromptLookup
from core_model.timeline import Observe
from core_model.tokenizer import Tokenizer
from core_model.weights import Precision, Weights

# Subfolders of the same weights in few bits, ready to map into memory; other programs never look there.
PACKED: Mapping[Precision, str] = {"int8": "int8", "int8-dynamic": "int8", "int4": "int4"}
Speculating = Literal["prompt_lookup", "next_tokens", "draft_model", "off"]


def load_engine(
    folder: Path,
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Literal["auto", "int4", "int8", "int8-dynamic", "bf16", "fp32"] = "auto",
    max_batch: int = 8,
    max_context: int = 2048,
    max_waiting: int = 64,
    max_waiting_per_tenant: int | None = None,
    kv_precision: KVPrecision = "same",
    kv_tokens: int | None = None,
    kv_host_bytes: int = 0,
    is_batch_invariant: bool | None = None,
    num_threads: int | None = None,
    speculation: Speculating | None = None,
    draft_folder: Path | None = None,
    use_kernels: bool = True,
    observe: Observe | None = None,
) -> tuple[Engine, Tokenizer]:
    """Load a checkpoint folder or GGUF file into a started engine (call `engine.close()` at the end) and its tokenizer.

    Args:
        folder: As `prepare_default_model` makes it, or a downloaded one of a supported family: that has no manifest to
            verify, and its version says so. Or a GGUF file with its own tokenizer; its version has the file's sha256.
        device: "auto" takes the GPU if there is one.
        precision: See `Weights`; "auto" as in `serving`. Integers are packed while loading, unless they are in
            `folder` ready-made.
        max_batch: Requests that run at once.
        max_waiting: Requests that may wait beyond those.
        max_waiting_per_tenant: The same for each tenant; None is no limit of its own.
        kv_precision: Of cached keys and values: "same" as computed (fp16 in native code), "fp16", or "int8" or "fp8"
            with a scale per token and row, a quarter of fp32, half of bf16.
        kv_tokens: Room in the cache, for all requests and what is kept of earlier ones; None is `max_batch` contexts.
            With less, requests wait or give way when there is no room.
        kv_host_bytes: Main memory for what no longer fits there; it comes back when a prompt begins the same way.
        is_batch_invariant: Answers do not depend, to the bit, on what else runs or was cached (`core_model.passes`).
            None: where that costs next to nothing, which is in native code, and int8 on a CPU with VNNI.
        num_threads: CPU threads of PyTorch and native code in this process; None takes all cores but one. The rest of
            the service needs one, and a team of threads that waits for a busy core is far slower than a smaller team.
        speculation: Who guesses next tokens, so that the model checks several in one pass (`core_model.speculate`):
            "prompt_lookup" copies from prompt and answer, "next_tokens" asks the layer that a checkpoint has for it
            (DeepSeek-V3, GLM-4-MoE), "draft_model" a smaller model, "off" nobody. None: prompt look-up where answers
            are the same to the bit, as above. Elsewhere several tokens round otherwise than
            one, so that of two all but equal ones the other may be chosen.
        draft_folder: The smaller model, of the same vocabulary.
        use_kernels: Run what kernels can (`core_model.kernels`): native code on a CPU, Triton's on a GPU.
        observe: As in `Engine`.

    Raises:
        ValueError: a changed or missing file, an unsupported model, or a bad argument.
    """
    _check_speculation(speculation, draft_folder)
    where = _device(device)
    num_threads = num_threads or max(1, (os.cpu_count() or 1) - 1)
    if where.type == "cpu":
        torch.set_num_threads(num_threads)
    chosen, kernels = serving(folder, precision, device=where, use_kernels=use_kernels, num_threads=num_threads)
    with ThreadPoolExecutor(1) as pool:  # sums are computed while the weights are read and packed
        version = pool.submit(version_of, folder, packed=_packed_folder(folder, chosen))
        decoder = load_decoder(folder, precision=chosen, device=where, kernels=kernels)
        tokenizer = load_tokenizer(folder)
        constraints = ConstraintFactory(
            tokenizer.to_json(), vocab_size=decoder.config.vocab_size, eos_ids=tokenizer.eos_ids
        )
        model_version = version.result()
    context = min(max_context, decoder.config.max_position_embeddings)
    pages_per_request = -(-context // PAGE_SIZE)
    cache = PagedCache(
        decoder.config,
        num_pages=max_batch * pages_per_request if kv_tokens is None else max(1, kv_tokens // PAGE_SIZE),
        dtype=decoder.dtype,
        device=where,
        precision="fp16" if decoder.step is not None and kv_precision == "same" else kv_precision,
        host_bytes=kv_host_bytes,
    )
    if use_kernels and not on_gpu.why_not(where):
        on_gpu.use_kernels(decoder, cache, max_batch=max_batch, max_context=context)
    is_invariant = decoder.has_exact_rows if is_batch_invariant is None else is_batch_invariant
    is_exact = is_invariant and decoder.has_exact_rows
    new_drafter = _new_drafter(
        speculation or ("prompt_lookup" if is_exact else "off"),
        {"next_tokens": folder, "draft_model": draft_folder},
        decoder=decoder,
        tokenizer=tokenizer,
        precision=chosen,
        num_pages=max_batch * pages_per_request,
    )
    engine = Engine(
        ModelRunner(decoder, cache, constraints, is_batch_invariant=is_invariant),
        tokenizer,
        model_version=f"{model_version}-{chosen}",
        eos_ids=tokenizer.eos_ids,
        max_context=context,
        max_batch=max_batch,
        max_waiting=max_waiting,
        max_waiting_per_tenant=max_waiting_per_tenant,
        new_drafter=new_drafter,
        observe=observe,
    )
    return engine.start(), tokenizer


def load_decoder(
    path: Path, *, precision: Precision, device: torch.device | str = "cpu", kernels: Kernels | None = None
) -> Decoder:
    """The decoder alone, without verifying sums; for evaluation and benchmarks.

    Args:
        path: A checkpoint folder in any format of `core_model/formats`, or a GGUF file.
        kernels: Run what they can.

    Raises:
        ValueError: an unsupported model or format, or tensors that do not fit its config.json.
    """
    weights: Mapping[str, Weight]
    if packed := _packed_folder(path, precision):
        config, weights = load_config(path), TensorFiles(packed)
    else:
        checkpoint = open_checkpoint(path)
        config, weights = parse_config(checkpoint.config), checkpoint.weights
        check_tensors(config, weights)
    decoder = Decoder(config, Weights(weights, precision=precision, device=device, kernels=kernels))
    if kernels is not None:
        with suppress(Unsupported):
            decoder.step = Step(decoder)
    return decoder


def serving(
    folder: Path,
    precision: Precision | Literal["auto"],
    *,
    device: torch.device | str,
    use_kernels: bool = True,
    num_threads: int = 1,
) -> tuple[Precision, Kernels | None]:
    """How a model is served: in what, and on which kernels. If nobody says, in bf16 on a GPU; on a CPU in int8, or in
    int4 if that is ready-made for the kernels.
    """
    if torch.device(device).type != "cpu":
        return ("bf16" if precision == "auto" else precision), None
    kernels = open_kernels(num_threads=num_threads) if use_kernels and status().level else None
    if precision == "auto":
        precision = "int4" if kernels and _packed_folder(folder, "int4") else "int8"
    return precision, kernels


def _packed_folder(folder: Path, precision: Precision) -> Path | None:
    packed = folder / PACKED.get(precision, "")
    return packed if precision in PACKED and packed.is_dir() else None


def _check_speculation(speculation: str | None, draft_folder: Path | None) -> None:
    if speculation not in (None, *get_args(Speculating)):
        known = ", ".join(get_args(Speculating))
        raise ValueError(f"speculation: must be one of {known} (got {speculation!r}). Use one of these.")
    if (speculation == "draft_model") != (draft_folder is not None):
        raise ValueError(f"draft_folder: goes with speculation='draft_model' (got {speculation!r}). Give both or none.")


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder or GGUF file.

    Raises:
        ValueError: there is none, or one that is not implemented.
    """
    return Tokenizer.from_gguf(GGUFFile(path).metadata) if path.is_file() else Tokenizer.from_folder(path)


def _new_drafter(
    speculation: Speculating,
    folders: Mapping[str, Path | None],
    *,
    decoder: Decoder,
    tokenizer: Tokenizer,
    precision: Precision,
    num_pages: int,
) -> Callable[[], Drafter] | None:
    folder, device = folders.get(speculation), decoder.device
    if speculation == "prompt_lookup":
        return PromptLookup
    if folder is None:
        return None
    if speculation == "next_tokens":
        weights = Weights(open_checkpoint(folder).weights, precision=precision, device=device)
        head = NextTokenHead(decoder.config, weights, decoder)
        return partial(NextTokens, head, head.new_cache(decoder.config, num_pages=num_pages))
    check_same_vocabulary(load_tokenizer(folder), tokenizer)
    draft = load_decoder(folder, precision=precision, device=device)
    cache = PagedCache(draft.config, num_pages=num_pages, dtype=draft.dtype, device=device)
    return partial(DraftModel, draft, cache, vocab_size=decoder.config.vocab_size)


def version_of(folder: Path, *, packed: Path | None = None) -> str:
    """The verified version; of the exact and the packed weights only those that are read are summed.

    Raises:
        ValueError: names the missing or changed file.
    """
    if folder.is_file():
        return f"{folder.stem}-{sha256_of(folder)[:12]}"
    if not (folder / MANIFEST).is_file():
        return f"{folder.name}-unverified"
    kinds = {"model-", *(f"{name}/" for name in PACKED.values())}
    unread = tuple(kinds - {f"{packed.name}/" if packed else "model-"})
    return verify(folder, unless=lambda name: name.startswith(unread))


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: this PyTorch sees no CUDA GPU (got 'cuda'). Use 'cpu' or 'auto'.")
    return torch.device(device)
