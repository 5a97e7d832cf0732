"""A process's part of a shared model: the leader gets an engine, the others follow it until it is closed.

Ignores how processes are started (`torchrun`), and what the engine is for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist

from core_model.checkpoint import Checkpoint, open_checkpoint
from core_model.config import parse_config
from core_model.constrain import ConstraintFactory
from core_model.engine import Engine
from core_model.kernels import on_gpu
from core_model.kv_cache import PAGE_SIZE, PagedCache
from core_model.layout import check_tensors
from core_model.loading import load_tokenizer, version_of
from core_model.model import Decoder
from core_model.parallel.lead import LeadingCache, LeadingDecoder, Line, follow
from core_model.parallel.share import Share
from core_model.runner import ModelRunner
from core_model.tokenizer import Tokenizer
from core_model.weights import Precision, Weights


@dataclass(frozen=True)
class Room:
    """What the engine may hold: requests at once, and tokens of each."""

    max_batch: int = 8
    max_context: int = 2048


def share_engine(
    folder: Path,
    serve: Callable[[Engine, Tokenizer], None],
    *,
    device: torch.device,
    precision: Precision = "bf16",
    room: Room | None = None,
) -> None:
    """Load this process's part of a model. The leader calls `serve`; the others return when it has.

    Args:
        device: This process's own.

    Raises:
        ValueError: an unsupported model, changed files, or a number of processes that does not divide the model.
    """
    if device.type == "cuda":
        torch.cuda.set_device(
            device
        )  # where kernels are launched; an engine's own thread is the leader's, on the first
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        share = Share(dist.get_rank(), dist.get_world_size())
        decoder, cache, line = open_part(open_checkpoint(folder), share, device, precision, room or Room())
        if share.rank:
            follow(decoder, cache, line)
            return
        tokenizer = load_tokenizer(folder)
        version = f"{version_of(folder)}-{precision}"
        try:
            with new_engine(decoder, cache, tokenizer, version=version, room=room or Room()) as engine:
                serve(engine, tokenizer)
        finally:
            line.tell("stop")
    finally:
        dist.destroy_process_group()


def open_part(
    checkpoint: Checkpoint, share: Share, device: torch.device, precision: Precision, room: Room
) -> tuple[Decoder, PagedCache, Line]:
    """This process's decoder and cache; the leader's tell the others what they do.

    Raises:
        ValueError: as `share_engine`.
    """
    config, line = parse_config(checkpoint.config), Line()
    check_tensors(config, checkpoint.weights)
    weights = Weights(checkpoint.weights, precision=precision, device=device, share=share, config=config)
    context = min(room.max_context, config.max_position_embeddings)
    num_pages = room.max_batch * -(-context // PAGE_SIZE)
    decoder: Decoder
    cache: PagedCache
    if share.rank:
        decoder = Decoder(config, weights)
        cache = PagedCache(decoder.config, num_pages=num_pages, dtype=decoder.dtype, device=device)
    else:
        decoder = leading = LeadingDecoder(config, weights)
        cache = LeadingCache(decoder.config, num_pages=num_pages, dtype=decoder.dtype, device=device)
        leading.line = cache.line = line
    if not on_gpu.why_not(device):
        on_gpu.use_kernels(decoder, cache, max_batch=room.max_batch, max_context=context)
    return decoder, cache, line


def new_engine(decoder: Decoder, cache: PagedCache, tokenizer: Tokenizer, *, version: str, room: Room) -> Engine:
    """The leader's engine, not started yet."""
    constraints = ConstraintFactory(
        tokenizer.to_json(), vocab_size=decoder.config.vocab_size, eos_ids=tokenizer.eos_ids
    )
    return Engine(
        ModelRunner(decoder, cache, constraints),
        tokenizer,
        model_version=version,
        eos_ids=tokenizer.eos_ids,
        max_context=min(room.max_context, decoder.config.max_position_embeddings),
        max_batch=room.max_batch,
    )
