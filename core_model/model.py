"""A decoder-only transformer, dense or mixture of experts. Ignores where weights, requests and sampling come from.

Several sequences run in one call without padding: their new tokens lie one after another, `Segment`s say whose.
Shapes: T new tokens of all sequences, D model dim, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from operator import add
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.attention import Batch, Cache, GroupedQueryAttention, LatentAttention, Segment, view
from core_model.config import ModelConfig
from core_model.moe import MLP, MoE
from core_model.norm import RMSNorm
from core_model.rope import Rope
from core_model.weights import Weights

__all__ = ["Adapters", "Decoder", "DecoderLayer", "Segment"]


class Adapters(Protocol):
    """What changes the decoder for some of the rows; see `core_model/adapter_bank.py`."""

    def begin(self, segments: Sequence[Segment], x_TD: Tensor) -> None:
        """Before the layers of each call: note whose rows are whose; `x_TD`, the embeddings, may be written to."""


class Step(Protocol):
    """The layers and the last norm as one, where that is faster; see `core_model/kernels`."""

    def takes(self, segments: Sequence[Segment], cache: Cache | None) -> bool:
        """Whether it can run these."""

    def __call__(self, x_TD: Tensor, segments: Sequence[Segment], cache: Any) -> Tensor:
        """Embeddings, which may be written to, to what `Decoder.__call__` returns."""

    def expert_counts(self, layer_idx: int) -> list[int]:
        """As `MoE.counts`, of the tokens that came here and that the layers did not count."""


class Decoder:
    """Token ids to logits.

    Attributes:
        has_exact_rows: Tokens come out the same, bit for bit, whatever other segments run with theirs, as long as few
            rows stay few and many rows many (`quantize.FEW_ROWS`).
        step: Runs the layers where it takes them; None: they run one by one.
        attends_apart: Whether segments may have a `context`: grouped queries that see everything.

    Args:
        layers: Stand in for those that would be built from `weights`; calibration builds them one at a time.
    """

    def __init__(self, config: ModelConfig, weights: Weights, *, layers: Sequence[DecoderLayer] | None = None) -> None:
        self.share, config = weights.share, weights.share.config(config)
        self.config, self.dtype, self.device = config, weights.dtype, weights.device
        self.embed_tokens_VD = weights.stored("model.embed_tokens.weight")
        self.layers = layers or [DecoderLayer(config, weights, i) for i in range(config.num_hidden_layers)]
        self.norm = RMSNorm(weights, "model.norm", eps=config.rms_norm_eps)
        self.lm_head = weights.linear("", "model.embed_tokens" if config.tie_word_embeddings else "lm_head")
        self.rope = Rope(config, self.device)
        self.has_exact_rows = weights.has_exact_rows
        self.adapters: Adapters | None = None
        self.step: Step | None = None
        self._windows = {config.window(i) for i in range(config.num_hidden_layers)}
        self.attends_apart = self._windows == {0} and not (config.is_latent or config.attention_sinks or config.lsh)

    @torch.inference_mode()
    def __call__(self, token_ids_T: Tensor, segments: Sequence[Segment], cache: Cache | None = None) -> Tensor:
        """Run new tokens through all layers.

        Args:
            token_ids_T: int64, the segments' tokens one after another.
            segments: Their sum of `num_tokens` is T.
            cache: Holds each slot's first `start` tokens and takes the new ones; None recomputes from position 0.

        Returns:
            Hidden states (T, D), ready for `logits`.
        """
        x_TD = F.embedding(token_ids_T, self.embed_tokens_VD).to(self.dtype)
        if self.step is not None and self.step.takes(segments, cache):
            return self.step(x_TD, segments, cache)
        return self.through_layers(x_TD, segments, cache)

    def through_layers(self, x_TD: Tensor, segments: Sequence[Segment], cache: Cache | None) -> Tensor:
        """Embeddings to hidden states, layer by layer."""
        if self.adapters is not None:
            self.adapters.begin(segments, x_TD)
        batch = self._batch(segments, cache)
        for layer in self.layers:
            x_TD = layer(x_TD, batch)
        return self.norm(x_TD)

    @torch.inference_mode()
    def logits(self, hidden_TD: Tensor) -> Tensor:
        """Next-token logits (T, V), fp32."""
        return self.share.joined(self.lm_head(hidden_TD).float(), self.config.vocab_size)

    def expert_counts(self) -> dict[int, list[int]]:
        """By layer with routed experts: how many tokens each expert got since the decoder was made."""
        own = {i: layer.mlp.counts for i, layer in enumerate(self.layers) if isinstance(layer.mlp, MoE)}
        if self.step is None:
            return own
        return {i: [*map(add, counts, self.step.expert_counts(i))] for i, counts in own.items()}

    def _batch(self, segments: Sequence[Segment], cache: Cache | None) -> Batch:
        spans = [torch.arange(s.start, s.start + s.num_tokens, device=self.device) for s in segments]
        seen = partial(view, num_sinks=self.config.sink_tokens, dtype=self.dtype, device=self.device)
        views = {window: [seen(segment, window=window) for segment in segments] for window in self._windows}
        return Batch(segments, self.rope(torch.cat(spans), self.dtype), views, cache)


class DecoderLayer:
    """Pre-norm attention, then pre-norm feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix, eps, self.share = f"model.layers.{layer_idx}", config.rms_norm_eps, weights.share
        attention = LatentAttention if config.is_latent else GroupedQueryAttention
        self.input_layernorm = RMSNorm(weights, f"{prefix}.input_layernorm", eps=eps)
        self.self_attn: LatentAttention | GroupedQueryAttention = attention(config, weights, layer_idx)
        self.post_attention_layernorm = RMSNorm(weights, f"{prefix}.post_attention_layernorm", eps=eps)
        self.mlp: MLP | MoE
        if config.is_moe_layer(layer_idx):
            self.mlp = MoE(config, weights, prefix)
        else:
            self.mlp = MLP(weights, f"{prefix}.mlp", bias=config.mlp_bias)

    def __call__(self, x_TD: Tensor, batch: Batch) -> Tensor:
        x_TD = x_TD + self.share.sum_(self.self_attn(self.input_layernorm(x_TD), batch))
        return x_TD + self.share.sum_(self.mlp(self.post_attention_layernorm(x_TD)))
