"""Choosing experts, and sorting what they compute: `core_model/routing.py` in one kernel, then tiles for the product.

Shapes: T tokens, E experts, K experts a token, G groups of X neighbouring experts, P = T * K pairs of token and expert.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from core_model.config import ModelConfig

_PAIRS = 64  # that a program of the sort places
_OTHERS = 128  # that it compares them with at a time


def choose_experts(
    logits_TE: Tensor, correction_E: Tensor | None, config: ModelConfig, *, num_shared: int = 0
) -> tuple[Tensor, Tensor]:
    """`core_model.moe.Router`'s choice from fp32 logits: weights_TK fp32 and experts_TK int32, the best first.

    Args:
        num_shared: So many experts behind the others are everybody's: chosen last, with weight 1.
    """
    (num_tokens, num_experts), k = logits_TE.shape, config.num_experts_per_tok
    assert logits_TE.is_contiguous()
    limits_groups = config.topk_method != "greedy" and config.topk_group < config.n_group
    num_groups = config.n_group if limits_groups else 1
    weights_TK = logits_TE.new_empty(num_tokens, k + num_shared)
    experts_TK = torch.empty(num_tokens, k + num_shared, dtype=torch.int32, device=logits_TE.device)
    choose_experts_kernel[(num_tokens,)](
        logits_TE,
        logits_TE if correction_E is None else correction_E,
        weights_TK,
        experts_TK,
        num_experts,
        num_experts // num_groups,
        config.routed_scaling_factor,
        K=k,
        NUM_SHARED=num_shared,
        TOPK_GROUP=config.topk_group if limits_groups else 0,
        IS_SIGMOID=config.scoring_func == "sigmoid",
        HAS_CORRECTION=correction_E is not None,
        BY_TOP2=config.topk_method == "noaux_tc",
        NORMALIZE=config.norm_topk_prob,
        BLOCK_K=triton.next_power_of_2(k + num_shared),
        BLOCK_G=triton.next_power_of_2(num_groups),
        BLOCK_X=triton.next_power_of_2(num_experts // num_groups),
        num_warps=1,
    )
    return weights_TK, experts_TK


@triton.jit
def choose_experts_kernel(
    logits_ptr,
    correction_ptr,
    weights_ptr,
    experts_ptr,
    num_experts,
    group_size,
    scale,
    K: tl.constexpr,
    NUM_SHARED: tl.constexpr,
    TOPK_GROUP: tl.constexpr,
    IS_SIGMOID: tl.constexpr,
    HAS_CORRECTION: tl.constexpr,
    BY_TOP2: tl.constexpr,
    NORMALIZE: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_G: tl.constexpr,
    BLOCK_X: tl.constexpr,
):
    token = tl.program_id(0)
    low: tl.constexpr = float("-inf")
    group, within = tl.arange(0, BLOCK_G), tl.arange(0, BLOCK_X)
    expert = group[:, None] * group_size + within[None, :]
    is_expert = (within[None, :] < group_size) & (expert < num_experts)
    logits = tl.load(logits_ptr + token * num_experts + expert, mask=is_expert, other=low)
    if IS_SIGMOID:
        scores = 1 / (1 + tl.exp(-logits))
    else:
        raised = tl.exp(logits - tl.max(tl.max(logits, 1), 0))
        scores = raised / tl.sum(tl.sum(raised, 1), 0)
    choice = scores
    if HAS_CORRECTION:
        choice += tl.load(correction_ptr + expert, mask=is_expert, other=0.0)
    choice = tl.where(is_expert, choice, low)

    if TOPK_GROUP > 0:
        group_score = tl.max(choice, 1)
        if BY_TOP2:
            best = tl.argmax(choice, 1)
            group_score += tl.max(tl.where(within[None, :] == best[:, None], low, choice), 1)
        kept = tl.zeros([BLOCK_G], tl.int1)
        for _ in tl.static_range(TOPK_GROUP):
            taken = group == tl.argmax(group_score, 0)
            kept, group_score = kept | taken, tl.where(taken, low, group_score)
        choice = tl.where(kept[:, None], choice, low)

    choice = tl.reshape(choice, [BLOCK_G * BLOCK_X])
    scores = tl.reshape(scores, [BLOCK_G * BLOCK_X])
    expert = tl.reshape(expert, [BLOCK_G * BLOCK_X])
    place, rank = tl.arange(0, BLOCK_G * BLOCK_X), tl.arange(0, BLOCK_K)
    weights = tl.zeros([BLOCK_K], tl.float32)
    experts = tl.zeros([BLOCK_K], tl.int32)
    for i in tl.static_range(K):
        taken = place == tl.argmax(choice, 0)
        weights = tl.where(rank == i, tl.sum(tl.where(taken, scores, 0.0), 0), weights)
        experts = tl.where(rank == i, tl.sum(tl.where(taken, expert, 0), 0), experts)
        choice = tl.where(taken, low, choice)
    if NORMALIZE:
        weights /= tl.sum(weights, 0) + 1e-20
    at, is_chosen = token * (K + NUM_SHARED) + rank, rank < K + NUM_SHARED
    tl.store(weights_ptr + at, tl.where(rank < K, weights * scale, 1.0), mask=is_chosen)
    tl.store(experts_ptr + at, tl.where(rank < K, experts, num_experts + rank - K), mask=is_chosen)


@dataclass(frozen=True)
class Tiles:
    """Pairs sorted by expert, and the blocks of rows in which a grouped product takes them.

    Attributes:
        pair_P: int32, the pair (token * K + choice) of each sorted row; those of other devices' experts come last.
        tile_N3: int32 (expert, first row, end row) of each tile; tiles that are not needed have expert -1.
        rows: Most rows of a tile.
    """

    pair_P: Tensor
    tile_N3: Tensor
    rows: int


def sort_pairs(experts_TK: Tensor, *, num_experts: int, rows: int, counts_E: Tensor, num_tokens: Tensor) -> Tiles:
    """Sort the pairs by expert, and cut each expert's rows into tiles of at most `rows`, none of them padded.

    Args:
        experts_TK: int32; pairs outside 0 to `num_experts` - 1 belong to another device and get no tile.
        counts_E: int64, gets each expert's rows of the first `num_tokens` tokens added.
        num_tokens: int32, a scalar on the device: the tokens behind are there to fill a batch up.
    """
    num_pairs, k = experts_TK.numel(), experts_TK.shape[1]
    num_tiles = min(num_pairs, num_experts) + num_pairs // rows
    pair_P = torch.empty(num_pairs, dtype=torch.int32, device=experts_TK.device)
    tile_N3 = torch.empty(num_tiles, 3, dtype=torch.int32, device=experts_TK.device)
    sort_pairs_kernel[(triton.cdiv(num_pairs, _PAIRS),)](
        experts_TK,
        pair_P,
        tile_N3,
        counts_E,
        num_tokens,
        num_pairs,
        num_tiles,
        num_experts,
        K=k,
        ROWS=rows,
        BLOCK_E=triton.next_power_of_2(num_experts + 1),
        BLOCK=_PAIRS,
        BLOCK_OTHERS=_OTHERS,
    )
    return Tiles(pair_P, tile_N3, rows)


@triton.jit
def sort_pairs_kernel(
    experts_ptr,
    pair_ptr,
    tile_ptr,
    counts_ptr,
    num_tokens_ptr,
    num_pairs,
    num_tiles,
    num_experts,
    K: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_OTHERS: tl.constexpr,
):
    """A counting sort without a second pass: each pair's place is how many come before it."""
    pair = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_pair = pair < num_pairs
    mine = tl.load(experts_ptr + pair, mask=is_pair, other=-1)
    mine = tl.where((mine < 0) | (mine >= num_experts), num_experts, mine)  # elsewhere: behind all others
    expert = tl.arange(0, BLOCK_E)
    num_counted = tl.load(num_tokens_ptr) * K
    count = tl.zeros([BLOCK_E], tl.int32)
    counted = tl.zeros([BLOCK_E], tl.int32)
    rank = tl.zeros([BLOCK], tl.int32)  # among the pairs of the same expert
    for start in range(0, num_pairs, BLOCK_OTHERS):
        other = start + tl.arange(0, BLOCK_OTHERS)
        theirs = tl.load(experts_ptr + other, mask=other < num_pairs, other=num_experts)
        theirs = tl.where((theirs < 0) | (theirs >= num_experts), num_experts, theirs)
        is_theirs = (theirs[:, None] == expert[None, :]) & (other < num_pairs)[:, None]
        count += tl.sum(is_theirs.to(tl.int32), 0)
        counted += tl.sum((is_theirs & (other < num_counted)[:, None]).to(tl.int32), 0)
        is_before = (theirs[:, None] == mine[None, :]) & (other[:, None] < pair[None, :])
        rank += tl.sum(is_before.to(tl.int32), 0)
    tiles = (count + ROWS - 1) // ROWS
    is_less = expert[:, None] < mine[None, :]
    is_mine = expert[:, None] == mine[None, :]
    first = tl.sum(tl.where(is_less, count[:, None], 0), 0)
    first_tile = tl.sum(tl.where(is_less, tiles[:, None], 0), 0)
    total = tl.sum(tl.where(is_mine, count[:, None], 0), 0)
    tl.store(pair_ptr + first + rank, pair, mask=is_pair)

    begins_tile = is_pair & (mine < num_experts) & (rank % ROWS == 0)
    tile = tile_ptr + (first_tile + rank // ROWS) * 3
    tl.store(tile, mine, mask=begins_tile)
    tl.store(tile + 1, first + rank, mask=begins_tile)
    tl.store(tile + 2, first + tl.minimum(total, rank + ROWS), mask=begins_tile)
    if tl.program_id(0) == 0:
        is_here = expert < num_experts
        num_used = tl.sum(tl.where(is_here, tiles, 0), 0)
        for start in range(0, num_tiles, BLOCK_OTHERS):
            unused = start + tl.arange(0, BLOCK_OTHERS)
            tl.store(tile_ptr + unused * 3, -1, mask=(unused >= num_used) & (unused < num_tiles))
        so_far = tl.load(counts_ptr + expert, mask=is_here, other=0)
        tl.store(counts_ptr + expert, so_far + counted, mask=is_here)
