"""Attention of one new token per request over paged keys and values. Ignores prompts, and what pages are for.

The context is split over several programs, each with its own running softmax, so that a few long requests keep a whole
GPU busy (Flash-Decoding); a second kernel joins the parts. The new token's own entry is in its page already.
Shapes: B requests, H query heads, M key-value heads, R their dim, C pages a request, S tokens of all pages, W rows of
an entry; for latents L their dim, P rotated dims.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_PROGRAMS = 264  # two for each of an H200's multiprocessors
_MOST_SPLITS = 32


@dataclass(frozen=True)
class PagedTokens:
    """Where each request's new token is, and all before it.

    Attributes:
        page_BC: int32, the pages of each request; behind its last one anything.
        position_B: int64, of the new token, 0 or more.
        size: Tokens of a page, a power of 2, 16 or more.
    """

    page_BC: Tensor
    position_B: Tensor
    size: int

    def entries(self) -> Tensor:
        """The new tokens' places among the tokens of all pages, int64."""
        page_B = self.page_BC.gather(1, (self.position_B // self.size)[:, None])[:, 0]
        return page_B * self.size + self.position_B % self.size


def attend_pages(q_BHR: Tensor, entries_WSR: Tensor, tokens: PagedTokens, *, window: int = 0) -> Tensor:
    """`core_model.attention.attend` of one token per request, grouped queries, (B, H * R).

    Args:
        entries_WSR: One layer of the cache: the keys of M heads, then their values.
        window: Tokens that are seen, the new one included; 0: all.
    """
    (batch, num_heads, dim), num_kv_heads = q_BHR.shape, len(entries_WSR) // 2
    values_MSR = entries_WSR[num_kv_heads:]
    parts = (q_BHR, None, entries_WSR, values_MSR)
    out = _attend(*parts, tokens, value_dim=dim, num_kv_heads=num_kv_heads, scale=dim**-0.5, window=window)
    return out.view(batch, num_heads * dim)


def attend_latents(
    q_BHL: Tensor, q_rope_BHP: Tensor, entries_1SR: Tensor, tokens: PagedTokens, *, scale: float
) -> Tensor:
    """`core_model.attention.LatentAttention.attend_absorbed` between its two projections, (B, H, L)."""
    parts = (q_BHL, q_rope_BHP, entries_1SR, None)
    return _attend(*parts, tokens, value_dim=q_BHL.shape[2], num_kv_heads=1, scale=scale, window=0)


def _attend(
    q_BHR: Tensor,
    q_rope_BHP: Tensor | None,
    keys_MSR: Tensor,
    values_MSR: Tensor | None,
    tokens: PagedTokens,
    *,
    value_dim: int,
    num_kv_heads: int,
    scale: float,
    window: int,
) -> Tensor:
    batch, num_heads, dim = q_BHR.shape
    assert q_BHR.stride(2) == keys_MSR.stride(2) == 1
    most_pages = tokens.page_BC.shape[1]
    splits = max(1, min(_MOST_SPLITS, most_pages, _PROGRAMS // (batch * num_kv_heads)))
    part_BHZV = torch.empty(batch, num_heads, splits, value_dim, dtype=torch.float32, device=q_BHR.device)
    norm_BHZ2 = torch.empty(batch, num_heads, splits, 2, dtype=torch.float32, device=q_BHR.device)
    rope = q_BHR if q_rope_BHP is None else q_rope_BHP
    values = keys_MSR if values_MSR is None else values_MSR
    attend_kernel[(batch, num_kv_heads, splits)](
        q_BHR,
        rope,
        keys_MSR,
        values,
        tokens.page_BC,
        tokens.position_B,
        part_BHZV,
        norm_BHZ2,
        dim,
        0 if q_rope_BHP is None else q_rope_BHP.shape[2],
        value_dim,
        num_heads,
        most_pages,
        window,
        scale,
        q_BHR.stride(0),
        q_BHR.stride(1),
        rope.stride(0),
        rope.stride(1),
        keys_MSR.stride(0),
        keys_MSR.stride(1),
        values.stride(0),
        NUM_SHARED=num_heads // num_kv_heads,
        IS_LATENT=values_MSR is None,
        PAGE=tokens.size,
        HEADS=max(16, triton.next_power_of_2(num_heads // num_kv_heads)),
        DIM=max(16, triton.next_power_of_2(dim)),
        ROPE_DIM=16 if q_rope_BHP is None else max(16, triton.next_power_of_2(q_rope_BHP.shape[2])),
        num_warps=8 if values_MSR is None else 4,
        num_stages=2 if values_MSR is None else 3,
    )
    out_BHV = q_BHR.new_empty(batch, num_heads, value_dim)
    join_splits_kernel[(batch * num_heads,)](
        part_BHZV,
        norm_BHZ2,
        out_BHV,
        splits,
        value_dim,
        BLOCK_Z=triton.next_power_of_2(splits),
        BLOCK_V=triton.next_power_of_2(value_dim),
    )
    return out_BHV


@triton.jit
def attend_kernel(
    q_ptr,
    rope_ptr,
    keys_ptr,
    values_ptr,
    page_ptr,
    position_ptr,
    part_ptr,
    norm_ptr,
    dim,
    rope_dim,
    value_dim,
    num_heads,
    most_pages,
    window,
    scale,
    q_stride,
    q_head_stride,
    rope_stride,
    rope_head_stride,
    row_stride,
    token_stride,
    value_row_stride,
    NUM_SHARED: tl.constexpr,
    IS_LATENT: tl.constexpr,
    PAGE: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    ROPE_DIM: tl.constexpr,
):
    request, kv_head, split = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64), tl.program_id(2)
    splits = tl.num_programs(2)
    end = (tl.load(position_ptr + request) + 1).to(tl.int32)
    first_seen = tl.maximum(end - window, 0) if window > 0 else 0
    first_page = first_seen // PAGE
    num_pages = (end + PAGE - 1) // PAGE - first_page
    share = (num_pages + splits - 1) // splits
    from_page = first_page + split * share
    to_page = tl.minimum(first_page + num_pages, from_page + share)

    within, column = tl.arange(0, HEADS), tl.arange(0, DIM)
    head = kv_head * NUM_SHARED + within
    is_head, is_column = within < NUM_SHARED, column < dim
    is_q = is_head[:, None] & is_column[None, :]
    q = tl.load(q_ptr + request * q_stride + head[:, None] * q_head_stride + column[None, :], mask=is_q, other=0.0)
    rope_column = tl.arange(0, ROPE_DIM)
    is_rope_column = rope_column < rope_dim
    if IS_LATENT:
        q_at = request * rope_stride + head[:, None] * rope_head_stride + rope_column[None, :]
        q_rope = tl.load(rope_ptr + q_at, mask=is_head[:, None] & is_rope_column[None, :], other=0.0)

    best = tl.full([HEADS], float("-inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    out = tl.zeros([HEADS, DIM], tl.float32)
    token = tl.arange(0, PAGE)
    for i in range(from_page, to_page):
        page = tl.load(page_ptr + request * most_pages + i).to(tl.int64)
        entry = (page * PAGE + token) * token_stride
        position = i * PAGE + token
        is_seen = (position < end) & (position >= first_seen)
        is_key = is_seen[:, None] & is_column[None, :]
        key = tl.load(keys_ptr + kv_head * row_stride + entry[:, None] + column[None, :], mask=is_key, other=0.0)
        scores = tl.dot(q, tl.trans(key), input_precision="ieee")
        if IS_LATENT:
            key_at = entry[:, None] + dim + rope_column[None, :]
            rope_key = tl.load(keys_ptr + key_at, mask=is_seen[:, None] & is_rope_column[None, :], other=0.0)
            scores = tl.dot(q_rope, tl.trans(rope_key), scores, input_precision="ieee")
            value = key
        else:
            value_at = kv_head * value_row_stride + entry[:, None] + column[None, :]
            value = tl.load(values_ptr + value_at, mask=is_key, other=0.0)
        scores = tl.where(is_seen[None, :], scores * scale, float("-inf"))
        higher = tl.maximum(best, tl.max(scores, 1))
        shares = tl.exp(scores - higher[:, None])
        fade = tl.exp(best - higher)
        total = total * fade + tl.sum(shares, 1)
        out = tl.dot(shares.to(value.dtype), value, out * fade[:, None], input_precision="ieee")
        best = higher

    place = (request * num_heads + head) * splits + split
    is_value = is_head[:, None] & (column < value_dim)[None, :]
    tl.store(part_ptr + place[:, None] * value_dim + column[None, :], out, mask=is_value)
    tl.store(norm_ptr + place * 2, best, mask=is_head)
    tl.store(norm_ptr + place * 2 + 1, total, mask=is_head)


@triton.jit
def join_splits_kernel(part_ptr, norm_ptr, out_ptr, splits, value_dim, BLOCK_Z: tl.constexpr, BLOCK_V: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    split, column = tl.arange(0, BLOCK_Z), tl.arange(0, BLOCK_V)
    is_split, is_column = split < splits, column < value_dim
    best = tl.load(norm_ptr + (row * splits + split) * 2, mask=is_split, other=float("-inf"))
    total = tl.load(norm_ptr + (row * splits + split) * 2 + 1, mask=is_split, other=0.0)
    fade = tl.exp(best - tl.max(best, 0))  # the part with the newest token is finite
    at = (row * splits + split)[:, None] * value_dim + column[None, :]
    parts = tl.load(part_ptr + at, mask=is_split[:, None] & is_column[None, :], other=0.0)
    out = tl.sum(parts * fade[:, None], 0) / tl.sum(total * fade, 0)
    tl.store(out_ptr + row * value_dim + column, out.to(out_ptr.dtype.element_ty), mask=is_column)
