"""A decoder-only transformer, dense or mixture of experts. Ignores where weights, requests and sampling come from.

Several sequences run in one call without padding: their new tokens lie one after another, `Segment`s say whose.
Shapes: T new tokens of all sequences, N of one, C context, D model dim, H query heads, M key-value heads, R head dim,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.kv_cache import PagedCache
from core_model.moe import MLP, MoE
from core_model.weights import Weights


@dataclass(frozen=True)
class Segment:
    """`num_tokens` new tokens of one sequence, at positions `start`.. of cache slot `slot`."""

    num_tokens: int
    start: int = 0
    slot: int = 0


class Decoder:
    """Token ids to logits."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self.config, self.dtype, self.device = config, weights.dtype, weights.device
        self.embed_tokens_VD = weights.stored("model.embed_tokens.weight")
        self.layers = [DecoderLayer(config, weights, i) for i in range(config.num_hidden_layers)]
        self.norm = RMSNorm(config, weights, "model.norm")
        self.lm_head = weights.linear("", "model.embed_tokens" if config.tie_word_embeddings else "lm_head")
        exponent = torch.arange(0, config.rotary_dim, 2, device=self.device).float() / config.rotary_dim
        self.inv_freq = 1.0 / config.rope_theta**exponent

    @torch.inference_mode()
    def __call__(self, token_ids_T: Tensor, segments: Sequence[Segment], cache: PagedCache | None = None) -> Tensor:
        """Run new tokens through all layers.

        Args:
            token_ids_T: int64, the segments' tokens one after another.
            segments: Their sum of `num_tokens` is T.
            cache: Holds each slot's first `start` tokens and takes the new ones; None recomputes from position 0.

        Returns:
            Hidden states (T, D), ready for `logits`.
        """
        x_TD = F.embedding(token_ids_T, self.embed_tokens_VD).to(self.dtype)
        rope = self._rope(segments)
        masks = [_causal_mask(segment, self.device) for segment in segments]
        for layer in self.layers:
            x_TD = layer(x_TD, rope, segments, masks, cache)
        return self.norm(x_TD)

    @torch.inference_mode()
    def logits(self, hidden_TD: Tensor) -> Tensor:
        """Next-token logits (T, V), fp32."""
        return self.lm_head(hidden_TD).float()

    def _rope(self, segments: Sequence[Segment]) -> tuple[Tensor, Tensor]:
        """cos and signed sin of each token's angles, (T, 1, rotary_dim), split halves (RoFormer, arXiv:2104.09864)."""
        spans = [torch.arange(s.start, s.start + s.num_tokens, device=self.device) for s in segments]
        angle = torch.cat(spans).float()[:, None, None] * self.inv_freq
        cos, sin = angle.cos().to(self.dtype), angle.sin().to(self.dtype)
        return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


class DecoderLayer:
    """Pre-norm attention, then pre-norm feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix = f"model.layers.{layer_idx}"
        self.input_layernorm = RMSNorm(config, weights, f"{prefix}.input_layernorm")
        self.self_attn = Attention(config, weights, layer_idx)
        self.post_attention_layernorm = RMSNorm(config, weights, f"{prefix}.post_attention_layernorm")
        self.mlp: MLP | MoE
        if config.is_moe_layer(layer_idx):
            self.mlp = MoE(config, weights, f"{prefix}.mlp")
        else:
            self.mlp = MLP(weights, f"{prefix}.mlp")

    def __call__(
        self,
        x_TD: Tensor,
        rope: tuple[Tensor, Tensor],
        segments: Sequence[Segment],
        masks: Sequence[Tensor | None],
        cache: PagedCache | None,
    ) -> Tensor:
        x_TD = x_TD + self.self_attn(self.input_layernorm(x_TD), rope, segments, masks, cache)
        return x_TD + self.mlp(self.post_attention_layernorm(x_TD))


class Attention:
    """Grouped-query attention (arXiv:2305.13245) with rotary positions; each segment attends to its own context."""

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix = f"model.layers.{layer_idx}.self_attn"
        self.layer_idx, self.rotary_dim = layer_idx, config.rotary_dim
        self.num_heads, self.num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.qkv_proj = weights.linear(prefix, "q_proj", "k_proj", "v_proj", bias=config.attention_bias)
        self.o_proj = weights.linear(prefix, "o_proj", bias=config.output_bias)
        self.q_norm = RMSNorm(config, weights, f"{prefix}.q_norm") if config.use_qk_norm else None
        self.k_norm = RMSNorm(config, weights, f"{prefix}.k_norm") if config.use_qk_norm else None

    def __call__(
        self,
        x_TD: Tensor,
        rope: tuple[Tensor, Tensor],
        segments: Sequence[Segment],
        masks: Sequence[Tensor | None],
        cache: PagedCache | None,
    ) -> Tensor:
        num_tokens, num_qk = x_TD.shape[0], self.num_heads + self.num_kv_heads
        qkv = self.qkv_proj(x_TD).view(num_tokens, -1, self.head_dim)
        q_THR, qk = qkv[:, : self.num_heads], qkv[:, :num_qk]
        if self.q_norm and self.k_norm:
            q_THR.copy_(self.q_norm(q_THR))
            qk[:, self.num_heads :].copy_(self.k_norm(qk[:, self.num_heads :]))
        self._rotate_(qk[..., : self.rotary_dim], *rope)
        kv_WTR = qkv[:, self.num_heads :].transpose(0, 1)

        out, first = [], 0
        for segment, mask in zip(segments, masks, strict=True):
            kv = kv_WTR.narrow(1, first, segment.num_tokens)
            if cache is not None:
                kv = cache.append(self.layer_idx, segment.slot, segment.start, kv)
            out.append(self._attend(q_THR.narrow(0, first, segment.num_tokens), kv, mask))
            first += segment.num_tokens
        return self.o_proj(out[0] if len(out) == 1 else torch.cat(out))

    def _attend(self, q_NHR: Tensor, kv_WCR: Tensor, mask_NC: Tensor | None) -> Tensor:
        """softmax(q k^T / sqrt(R)) v, (N, H * R)."""
        num_tokens, (k, v) = q_NHR.shape[0], kv_WCR.unsqueeze(0).chunk(2, dim=1)
        if num_tokens == 1:  # the heads that share a key head become its rows: no repeated keys, no mask
            q = q_NHR.reshape(1, self.num_kv_heads, -1, self.head_dim)
            return F.scaled_dot_product_attention(q, k, v).reshape(1, -1)
        out = F.scaled_dot_product_attention(
            q_NHR.transpose(0, 1)[None],
            k,
            v,
            attn_mask=mask_NC,
            is_causal=mask_NC is None,
            enable_gqa=self.num_heads != self.num_kv_heads,
        )
        return out[0].transpose(0, 1).reshape(num_tokens, -1)

    def _rotate_(self, x: Tensor, cos: Tensor, signed_sin: Tensor) -> None:
        """Turn each pair (i, i + rotary_dim / 2) by its angle, in place."""
        torch.addcmul(x * cos, x.roll(self.rotary_dim // 2, -1), signed_sin, out=x)


class RMSNorm:
    """x / rms(x) * weight (arXiv:1910.07467)."""

    def __init__(self, config: ModelConfig, weights: Weights, name: str) -> None:
        self.weight, self.eps = weights.tensor(f"{name}.weight"), config.rms_norm_eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def _causal_mask(segment: Segment, device: torch.device) -> Tensor | None:
    """(N, C) bool, True where a new token may look; None where attention's own causal flag or no mask will do."""
    if segment.num_tokens == 1 or segment.start == 0:
        return None
    shape = (segment.num_tokens, segment.start + segment.num_tokens)
    return torch.ones(shape, dtype=torch.bool, device=device).tril_(segment.start)
