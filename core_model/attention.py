"""Attention: new tokens look at their own sequence, as far as their layer may. Ignores layers, and where caches live.

Two kinds: grouped queries (arXiv:2305.13245), and multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), whose
cache holds one compressed latent per token.
Shapes: T new tokens of all sequences, N of one, C context, S visible context, D model dim, H query heads, M key-value
heads, R head dim, W rows of a cache entry; for latents also L latent dim, P rotated dims, Q other dims, V value dim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.lsh_attention import attend_lsh
from core_model.norm import RMSNorm
from core_model.rope import latent_score_factor, rotate_, rotated_pairs
from core_model.weights import Weights


@dataclass(frozen=True)
class Segment:
    """`num_tokens` new tokens of one sequence, at positions `start`.. of cache slot `slot`, maybe with an adapter.

    Attributes:
        adapter: The id of one that the decoder's `adapters` hold; None is the model as it is.
        context: Not 0: each token attends as if it came alone, over this many entries, those behind it hidden. So its
            bits do not depend on what comes with it. Only for a decoder that `attends_apart`.
    """

    num_tokens: int
    start: int = 0
    slot: int = 0
    adapter: str | None = None
    context: int = 0


class Cache(Protocol):
    """What earlier tokens left in each layer (`ModelConfig.cache_entry`)."""

    def append(self, layer_idx: int, slot: int, start: int, new_WNR: Tensor, *, context: int = 0) -> Tensor:
        """Store new entries from position `start`; return all of the slot's so far, (W, start + N, R).

        With `context` so many: those behind the new ones are old, or zero, but never infinite.
        """
        ...


@dataclass(frozen=True)
class View:
    """What a segment's new tokens see of its context: the first `num_sinks` tokens and those from `first` on.

    `mask_NS` is True where a new token may look. None: a single token sees all that is left, and a whole new sequence
    each token before its own. Tokens that are kept apart have `hidden_N11S` instead: -inf where they may not look.
    """

    num_sinks: int = 0
    first: int = 0
    mask_NS: Tensor | None = None
    hidden_N11S: Tensor | None = None

    def of(self, entries_WCR: Tensor) -> Tensor:
        """The visible entries, (W, S, R)."""
        if self.first <= self.num_sinks:
            return entries_WCR
        recent = entries_WCR[:, self.first :]
        return torch.cat((entries_WCR[:, : self.num_sinks], recent), 1) if self.num_sinks else recent


def view(segment: Segment, *, window: int, num_sinks: int, dtype: torch.dtype, device: torch.device) -> View:
    """What `segment` sees in a layer with this window (0: everything)."""
    end, first = segment.start + segment.num_tokens, 0
    if segment.context:
        hidden_NS = torch.full((segment.num_tokens, segment.context), -torch.inf, dtype=dtype, device=device)
        return View(hidden_N11S=hidden_NS.triu_(segment.start + 1)[:, None, None])
    if window:
        first = segment.start + 1 - window  # what the first of the new tokens sees
        first = first if first > num_sinks else 0
    hides = 0 < window < end  # from the last of them, at least
    if segment.num_tokens == 1 or (segment.start == 0 and not hides):
        return View(num_sinks, first)
    if not hides:
        shape = (segment.num_tokens, end)
        return View(mask_NS=torch.ones(shape, dtype=torch.bool, device=device).tril_(segment.start))
    position_C = torch.arange(end, device=device)
    position_S = torch.cat((position_C[:num_sinks], position_C[first:])) if first else position_C
    distance_NS = position_C[segment.start :, None] - position_S
    return View(num_sinks, first, (distance_NS >= 0) & ((distance_NS < window) | (position_S < num_sinks)))


@dataclass(frozen=True)
class Batch:
    """What attention needs to know of the tokens of one call besides their activations.

    Attributes:
        rope: cos and signed sin of each token's position, (T, 1, P).
        views: By window, one for each segment.
        cache: None: every segment starts at 0 and is forgotten.
    """

    segments: Sequence[Segment]
    rope: tuple[Tensor, Tensor]
    views: dict[int, list[View]]
    cache: Cache | None


class GroupedQueryAttention:
    """Several query heads share a key-value head; rotary positions on queries and keys.

    Attributes:
        rotate_: As `core_model.rope.rotate_`, which a kernel may replace.
    """

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix = f"model.layers.{layer_idx}.self_attn"
        self.layer_idx, self.window, self.rotary_dim = layer_idx, config.window(layer_idx), config.rotary_dim
        self.num_heads, self.num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.clip = config.head_dim, config.clip_qkv
        self.qkv_proj = weights.linear(prefix, "q_proj", "k_proj", "v_proj", bias=config.attention_bias)
        self.o_proj = weights.linear(prefix, "o_proj", bias=config.output_bias)
        self.q_norm = self.k_norm = None
        if config.use_qk_norm:
            self.q_norm, self.k_norm = (
                RMSNorm(weights, f"{prefix}.{name}", eps=config.rms_norm_eps) for name in ("q_norm", "k_norm")
            )
        self.norm_per_head = config.qk_norm_per_head
        self.sinks_H = weights.tensor(f"{prefix}.sinks", dtype=torch.float32) if config.attention_sinks else None
        self.lsh = config.lsh
        self.rotate_: Callable[[Tensor, Tensor, Tensor], None] = rotate_

    def project(self, x_TD: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """Queries, keys and values of each token, (T, H + 2M, R), rotated."""
        num_qk = self.num_heads + self.num_kv_heads
        qkv = self.qkv_proj(x_TD).view(len(x_TD), -1, self.head_dim)
        q_THR, qk = qkv[:, : self.num_heads], qkv[:, :num_qk]
        if self.q_norm and self.k_norm:
            self._norm_(q_THR, self.q_norm)
            self._norm_(qk[:, self.num_heads :], self.k_norm)
        if self.clip:
            qkv.clamp_(-self.clip, self.clip)
        self.rotate_(qk[..., : self.rotary_dim], *rope)
        return qkv

    def __call__(self, x_TD: Tensor, batch: Batch) -> Tensor:
        qkv = self.project(x_TD, batch.rope)
        q_THR = qkv[:, : self.num_heads]
        kv_WTR = qkv[:, self.num_heads :].transpose(0, 1)

        out, first = [], 0
        for segment, visible in zip(batch.segments, batch.views[self.window], strict=True):
            kv = kv_WTR.narrow(1, first, segment.num_tokens)
            if batch.cache is not None:
                kv = batch.cache.append(self.layer_idx, segment.slot, segment.start, kv, context=segment.context)
            k_MSR, v_MSR = visible.of(kv).chunk(2)
            q_NHR = q_THR.narrow(0, first, segment.num_tokens)
            if visible.hidden_N11S is not None:
                out.append(attend_apart(q_NHR, k_MSR, v_MSR, hidden_N11S=visible.hidden_N11S))
            elif self.lsh and segment.start == 0 and segment.num_tokens > 2 * self.lsh.chunk:
                out.append(attend_lsh(q_NHR, k_MSR, v_MSR, lsh=self.lsh))
            elif self.sinks_H is None:
                out.append(attend(q_NHR, k_MSR, v_MSR, mask_NS=visible.mask_NS))
            else:
                out.append(attend_with_sinks(q_NHR, k_MSR, v_MSR, mask_NS=visible.mask_NS, sinks_H=self.sinks_H))
            first += segment.num_tokens
        return self.o_proj(out[0] if len(out) == 1 else torch.cat(out))

    def _norm_(self, x_THR: Tensor, norm: RMSNorm) -> None:
        x_THR.copy_(norm(x_THR) if self.norm_per_head else norm(x_THR.flatten(1)).view_as(x_THR))


class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, 2.1): keys and values are projections of one latent per token.

    The cache keeps the latent and one rotated key for all heads. Many new tokens expand the latents to keys and values.
    For a few it is cheaper to move the projections to the other side: into the query, and behind the attention, so that
    all heads attend to the latents themselves ("weight absorption"). Both give the same, but for rounding.

    Attributes:
        rotate_, rotated_pairs: As those of `core_model.rope`, which kernels may replace.
    """

    def __init__(self, config: ModelConfig, weights: Weights, layer_idx: int) -> None:
        prefix = f"model.layers.{layer_idx}.self_attn"
        self.layer_idx, self.window, self.num_heads = layer_idx, config.window(layer_idx), config.num_attention_heads
        self.nope_dim, self.rope_dim = config.qk_nope_head_dim, config.qk_rope_head_dim
        self.latent_dim, self.interleave = config.kv_lora_rank, config.rope_interleave
        self.scale = config.head_dim**-0.5 * latent_score_factor(config.rope_scaling)
        bias = config.attention_bias
        self.q_a_proj = self.q_a_layernorm = None
        if config.q_lora_rank:
            self.q_a_proj = weights.linear(prefix, "q_a_proj", bias=bias)
            self.q_a_layernorm = RMSNorm(weights, f"{prefix}.q_a_layernorm", eps=_LATENT_NORM_EPS)
        self.q_proj = weights.linear(prefix, "q_b_proj" if config.q_lora_rank else "q_proj")
        self.kv_a_proj = weights.linear(prefix, "kv_a_proj_with_mqa", bias=bias)
        self.kv_a_layernorm = RMSNorm(weights, f"{prefix}.kv_a_layernorm", eps=_LATENT_NORM_EPS)
        # Absorption multiplies by slices of this matrix, so it stays dense; it is a small part of such models.
        self.kv_b_OL = weights.tensor(f"{prefix}.kv_b_proj.weight")
        self.o_proj = weights.linear(prefix, "o_proj", bias=config.output_bias)
        # Products per visible token and head: absorbed N * 2L, expanded L * (Q + V) + N * (Q + V).
        expanded = config.qk_nope_head_dim + config.v_head_dim
        surplus = 2 * self.latent_dim - expanded
        self.absorb_below = self.latent_dim * expanded / surplus if surplus > 0 else float("inf")
        self.rotate_: Callable[[Tensor, Tensor, Tensor], None] = rotate_
        self.rotated_pairs: Callable[[Tensor, Tensor, Tensor], Tensor] = rotated_pairs

    def queries(self, x_TD: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Each token's queries: (T, H, Q), and (T, H, P) rotated."""
        compressed_q = self.q_a_layernorm(self.q_a_proj(x_TD)) if self.q_a_proj and self.q_a_layernorm else x_TD
        q_THR = self.q_proj(compressed_q).view(len(x_TD), self.num_heads, -1)
        return q_THR[..., : self.nope_dim], self._rotated(q_THR[..., self.nope_dim :], rope)

    def entries(self, x_TD: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        """What each token leaves in the cache: latent and rotated key, (T, L + P)."""
        kv_TR = self.kv_a_proj(x_TD)
        latent_TL, key_TP = kv_TR[:, : self.latent_dim], kv_TR[:, self.latent_dim :]
        key_TP = self._rotated(key_TP.unsqueeze(1), rope).squeeze(1)
        return torch.cat((self.kv_a_layernorm(latent_TL), key_TP), -1)

    def __call__(self, x_TD: Tensor, batch: Batch) -> Tensor:
        q_THQ, q_rope_THP = self.queries(x_TD, batch.rope)
        new_1TR = self.entries(x_TD, batch.rope).unsqueeze(0)

        out, first = [], 0
        for segment, visible in zip(batch.segments, batch.views[self.window], strict=True):
            rows = slice(first, first + segment.num_tokens)
            entries_1CR = new_1TR[:, rows]
            if batch.cache is not None:
                entries_1CR = batch.cache.append(self.layer_idx, segment.slot, segment.start, entries_1CR)
            run = self.attend_absorbed if segment.num_tokens < self.absorb_below else self.attend_expanded
            out.append(run(q_THQ[rows], q_rope_THP[rows], visible.of(entries_1CR)[0], visible.mask_NS))
            first += segment.num_tokens
        return self.o_proj(out[0] if len(out) == 1 else torch.cat(out))

    def attend_expanded(self, q_NHQ: Tensor, q_rope_NHP: Tensor, entries_SR: Tensor, mask_NS: Tensor | None) -> Tensor:
        """Keys and values of each head, computed from the latents; (N, H * V)."""
        latent_SL, key_SP = entries_SR[:, : self.latent_dim], entries_SR[:, self.latent_dim :]
        kv_HSX = F.linear(latent_SL, self.kv_b_OL).view(len(entries_SR), self.num_heads, -1).transpose(0, 1)
        k_HSR = torch.cat((kv_HSX[..., : self.nope_dim], key_SP.expand(self.num_heads, -1, -1)), -1)
        q_NHR = torch.cat((q_NHQ, q_rope_NHP), -1)
        return attend(q_NHR, k_HSR, kv_HSX[..., self.nope_dim :], mask_NS=mask_NS, scale=self.scale)

    def attend_absorbed(self, q_NHQ: Tensor, q_rope_NHP: Tensor, entries_SR: Tensor, mask_NS: Tensor | None) -> Tensor:
        """q . (W_k c) = (W_k^T q) . c, and the sum of W_v c is W_v of the sum: heads share the latents as keys."""
        q_NHR = torch.cat((self.absorb(q_NHQ), q_rope_NHP), -1)
        values_1SL = entries_SR[None, :, : self.latent_dim]
        out_NE = attend(q_NHR, entries_SR[None], values_1SL, mask_NS=mask_NS, scale=self.scale)
        return self.values(out_NE.view(len(q_NHR), self.num_heads, -1))

    def absorb(self, q_NHQ: Tensor) -> Tensor:
        """Queries for the latents, (N, H, L)."""
        w_k_HQL = self.kv_b_OL.view(self.num_heads, -1, self.latent_dim)[:, : self.nope_dim]
        return (q_NHQ.transpose(0, 1) @ w_k_HQL).transpose(0, 1)

    def values(self, latent_NHL: Tensor) -> Tensor:
        """What heads that attended to latents hand on, (N, H * V)."""
        w_v_HVL = self.kv_b_OL.view(self.num_heads, -1, self.latent_dim)[:, self.nope_dim :]
        return (latent_NHL.transpose(0, 1) @ w_v_HVL.transpose(1, 2)).transpose(0, 1).flatten(1)

    def _rotated(self, x_TXP: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        if self.interleave:
            return self.rotated_pairs(x_TXP, *rope)
        rotated = x_TXP.clone()
        self.rotate_(rotated, *rope)
        return rotated


def attend(
    q_NHR: Tensor, k_MSR: Tensor, v_MSV: Tensor, *, mask_NS: Tensor | None, scale: float | None = None
) -> Tensor:
    """softmax(scale q k^T) v, (N, H * V); `scale` None is 1 / sqrt(R), `mask_NS` None as in `View`."""
    num_tokens, num_heads, _ = q_NHR.shape
    if num_tokens == 1:
        return attend_apart(q_NHR, k_MSR, v_MSV, hidden_N11S=None, scale=scale)
    out = F.scaled_dot_product_attention(
        q_NHR.transpose(0, 1)[None],
        k_MSR[None],
        v_MSV[None],
        attn_mask=mask_NS,
        is_causal=mask_NS is None,
        scale=scale,
        enable_gqa=num_heads != len(k_MSR),
    )
    return out[0].transpose(0, 1).reshape(num_tokens, -1)


def attend_apart(
    q_NHR: Tensor, k_MSR: Tensor, v_MSV: Tensor, *, hidden_N11S: Tensor | None, scale: float | None = None
) -> Tensor:
    """`attend`, each token a batch item of its own: its bits are those it has alone, over as many entries."""
    num_tokens, _, head_dim = q_NHR.shape
    q = q_NHR.reshape(num_tokens, len(k_MSR), -1, head_dim)  # the heads that share a key head are its rows: no copies
    k, v = (part.expand(num_tokens, -1, -1, -1) for part in (k_MSR, v_MSV))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=hidden_N11S, scale=scale).reshape(num_tokens, -1)


def attend_with_sinks(
    q_NHR: Tensor, k_MSR: Tensor, v_MSR: Tensor, *, mask_NS: Tensor | None, sinks_H: Tensor
) -> Tensor:
    """`attend`, where each head has one more score, learned, whose share of the softmax goes nowhere (gpt-oss)."""
    num_tokens, _, head_dim = q_NHR.shape
    q_MGNR = q_NHR.transpose(0, 1).reshape(len(k_MSR), -1, num_tokens, head_dim)
    scores = (q_MGNR @ k_MSR.transpose(1, 2).unsqueeze(1)).float() * head_dim**-0.5
    if num_tokens > 1:
        visible_NS = mask_NS if mask_NS is not None else torch.ones_like(scores[0, 0], dtype=torch.bool).tril()
        scores = scores.masked_fill(~visible_NS, float("-inf"))
    sinks = sinks_H.view(len(k_MSR), -1, 1, 1).expand(-1, -1, num_tokens, 1)
    shares = torch.cat((scores, sinks), -1).softmax(-1)[..., :-1].to(v_MSR.dtype)
    return (shares @ v_MSR.unsqueeze(1)).flatten(0, 1).transpose(0, 1).reshape(num_tokens, -1)


_LATENT_NORM_EPS = 1e-6  # of DeepSeek's latent norms, whatever rms_norm_eps says
