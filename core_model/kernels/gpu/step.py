"""One new token for each of several requests, from embeddings to hidden states, without a word from the CPU.

The same decoder as `core_model/model.py`, over kernels: what is to be added to the residual stream is handed on to the
next norm, which adds it. Every shape follows from the number of requests, so that a CUDA graph may hold the step.
Shapes: B requests, D model dim, R head dim, S tokens of all pages, W rows of an entry.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core_model.attention import GroupedQueryAttention, LatentAttention
from core_model.config import ModelConfig
from core_model.kernels.gpu.attention import PagedTokens, attend_latents, attend_pages
from core_model.kernels.gpu.latents import store_latents
from core_model.kernels.gpu.layers import FusedMoE
from core_model.kernels.gpu.norm import add_rms_norm
from core_model.model import Decoder, DecoderLayer
from core_model.norm import RMSNorm


def has_step(config: ModelConfig) -> bool:
    """Whether steps of this decoder can be run here; others go the usual way."""
    return not (
        config.attention_sinks or config.lsh or config.sink_tokens or (config.is_latent and config.layer_windows)
    )


class Step:
    """A decoder's step over the layers of a cache that keeps entries as they come.

    Args:
        entries: Of each layer, (W, S, R).
    """

    def __init__(self, decoder: Decoder, entries: Sequence[Tensor]) -> None:
        self._decoder, self._entries = decoder, entries

    @property
    def can_run(self) -> bool:
        """Whether the layers are the model's own: no adapter is here."""
        return self._decoder.adapters is None

    def replaceable(self) -> list[Tensor | None]:
        """The tensors that other ones may replace, as rebalancing does."""
        return [layer.mlp.gate.correction_E for layer in self._decoder.layers if isinstance(layer.mlp, FusedMoE)]

    @torch.inference_mode()
    def __call__(self, x_BD: Tensor, tokens: PagedTokens, num_tokens: Tensor) -> Tensor:
        """Hidden states (B, D), ready for `Decoder.logits`; the new entries are in their pages.

        Args:
            x_BD: Embeddings of each request's last token.
            num_tokens: int32, a scalar on the device: requests behind so many only fill the batch up, and repeat one of
                the others.
        """
        decoder = self._decoder
        rope, entry_B = decoder.rope(tokens.position_B, decoder.dtype), tokens.entries()
        delta: Tensor | None = None
        for layer, entries_WSR in zip(decoder.layers, self._entries, strict=True):
            x_BD, normed_BD = _add_norm(x_BD, delta, layer.input_layernorm)
            if isinstance(layer.self_attn, LatentAttention):
                delta = _latent(layer.self_attn, normed_BD, rope, entries_WSR, tokens, entry_B)
            else:
                delta = _grouped(layer.self_attn, normed_BD, rope, entries_WSR, tokens, entry_B)
            delta = layer.share.sum_(delta)
            x_BD, normed_BD = _add_norm(x_BD, delta, layer.post_attention_layernorm)
            delta = _feed_forward(layer, normed_BD, num_tokens)
        return _add_norm(x_BD, delta, decoder.norm)[1]


def _add_norm(x_BD: Tensor, delta: Tensor | None, norm: RMSNorm) -> tuple[Tensor, Tensor]:
    return add_rms_norm(x_BD, delta, norm.weight, eps=norm.eps)


def _feed_forward(layer: DecoderLayer, x_BD: Tensor, num_tokens: Tensor) -> Tensor:
    """(B, D), or (B, J, D) still to be summed."""
    if not isinstance(layer.mlp, FusedMoE):
        return layer.share.sum_(layer.mlp(x_BD))
    parts_BJD = layer.mlp.parts(x_BD, num_tokens)
    return parts_BJD if layer.share.size == 1 else layer.share.sum_(parts_BJD.sum(1))


def _grouped(
    attention: GroupedQueryAttention,
    x_BD: Tensor,
    rope: tuple[Tensor, Tensor],
    entries_WSR: Tensor,
    tokens: PagedTokens,
    entry_B: Tensor,
) -> Tensor:
    qkv = attention.project(x_BD, rope)
    entries_WSR.index_copy_(1, entry_B, qkv[:, attention.num_heads :].transpose(0, 1))
    out = attend_pages(qkv[:, : attention.num_heads], entries_WSR, tokens, window=attention.window)
    return attention.o_proj(out)


def _latent(
    attention: LatentAttention,
    x_BD: Tensor,
    rope: tuple[Tensor, Tensor],
    entries_1SR: Tensor,
    tokens: PagedTokens,
    entry_B: Tensor,
) -> Tensor:
    q_BHQ, q_rope_BHP = attention.queries(x_BD, rope)
    norm = attention.kv_a_layernorm
    store_latents(
        attention.kv_a_proj(x_BD), norm.weight, rope, entries_1SR, entry_B,
        eps=norm.eps, is_interleaved=attention.interleave,
    )  # fmt: skip
    q_BHL = attention.absorb(q_BHQ)
    out_BHL = attend_latents(q_BHL, q_rope_BHP, entries_1SR, tokens, scale=attention.scale)
    return attention.o_proj(attention.values(out_BHL))
