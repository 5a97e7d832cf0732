"""Whether the kernels for CUDA run here, and putting them to work. Imports nothing that a CPU does not have."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from core_model.kv_cache import PagedCache
    from core_model.model import Decoder


def why_not(device: torch.device) -> str:
    """What is missing for the kernels on a device; empty: nothing."""
    if device.type != "cuda":
        return "no CUDA device"
    if find_spec("triton") is None:
        return 'triton is not installed; run pip install "trivium[cuda]"'
    import triton

    return "TRITON_INTERPRET is set; unset it" if triton.knobs.runtime.interpret else ""


def missing_here() -> str | None:
    """`why_not` of this machine's GPU; None: it has none, or torch does not see it."""
    return why_not(torch.device("cuda")) if torch.cuda.is_available() else None


def use_kernels(decoder: Decoder, cache: PagedCache, *, max_batch: int, max_context: int) -> None:
    """Run what kernels can on a decoder that is on a GPU: its layers, and steps of one token as graphs over `cache`.

    What they do not have (see `Step`, `Stacked`) stays with torch.
    """
    from core_model.kernels.gpu.graphs import CudaRecorder, GraphedSteps, bucket
    from core_model.kernels.gpu.layers import accelerate
    from core_model.kernels.gpu.step import Step, has_step

    accelerate(decoder)
    entries, config = cache.plain_entries(), decoder.config
    if entries is None or entries[0].dtype != decoder.dtype or not has_step(config):
        return
    x_BD = torch.zeros(bucket(max_batch), config.hidden_size, dtype=decoder.dtype, device=decoder.device)
    decoder.step = GraphedSteps(
        Step(decoder, entries),
        cache,
        others=decoder.through_layers,
        record=CudaRecorder(),
        x_BD=x_BD,
        max_pages=-(-max_context // cache.page_size),
        num_experts=config.n_routed_experts,
    )
