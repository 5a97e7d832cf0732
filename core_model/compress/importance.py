"""What a model can do without: heads and layers by what they add on given text. No gradients. Changes no weights.

Experts need no measurement of their own: `Decoder.expert_counts()` counts while it serves.
Shapes: T tokens, D model dim, H query heads, R head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.evaluate import token_logits
from core_model.model import Decoder
from core_model.quantize import Linear


def head_importance(decoder: Decoder, tensors: Mapping[str, Tensor], token_ids: Sequence[int]) -> dict[int, Tensor]:
    """Mean length of what each head adds to the residual stream through its part of o_proj, (H,) by layer."""
    found: dict[int, Tensor] = {}
    head_dim = decoder.config.head_dim

    def record(layer_idx: int, x: Tensor) -> None:
        weight_DO = tensors[f"model.layers.{layer_idx}.self_attn.o_proj.weight"].float()
        x_THR, weight_DHR = x.float().view(len(x), -1, head_dim), weight_DO.view(len(weight_DO), -1, head_dim)
        added_THD = torch.einsum("thr,dhr->thd", x_THR, weight_DHR)
        found[layer_idx] = added_THD.norm(dim=-1).mean(0)

    with _recorded(decoder, record):
        token_logits(decoder, token_ids)
    return found


def layer_importance(decoder: Decoder, token_ids: Sequence[int]) -> dict[int, float]:
    """1 - cosine of each layer's input and output, mean over tokens: block influence (ShortGPT, arXiv:2403.03853)."""
    found: dict[int, float] = {}
    layers = list(decoder.layers)

    def wrapped(layer_idx: int, layer: Any) -> Callable[..., Tensor]:
        def run(x_TD: Tensor, *others: Any) -> Tensor:
            before_TD = x_TD.clone()
            after_TD: Tensor = layer(x_TD, *others)
            found[layer_idx] = float(1 - F.cosine_similarity(before_TD.float(), after_TD.float(), dim=-1).mean())
            return after_TD

        return run

    decoder.layers = [wrapped(i, layer) for i, layer in enumerate(layers)]  # type: ignore[misc]
    try:
        token_logits(decoder, token_ids)
    finally:
        decoder.layers = layers
    return found


@contextmanager
def _recorded(decoder: Decoder, record: Callable[[int, Tensor], None]) -> Iterator[None]:
    """For the block, `record(layer_idx, input)` sees every call of each layer's o_proj."""
    originals = [layer.self_attn.o_proj for layer in decoder.layers]

    def wrapped(layer_idx: int, linear: Linear) -> Linear:
        def run(x_NI: Tensor) -> Tensor:
            record(layer_idx, x_NI)
            return linear(x_NI)

        return run

    for i, layer in enumerate(decoder.layers):
        layer.self_attn.o_proj = wrapped(i, originals[i])
    try:
        yield
    finally:
        for layer, linear in zip(decoder.layers, originals, strict=True):
            layer.self_attn.o_proj = linear
