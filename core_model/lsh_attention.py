"""Attention in less than quadratic time: a query looks at near keys and at those that hash alike (arXiv:2001.04451).

Reformer shares queries and keys; this one takes a trained model's separate ones, so each side is sorted by itself and a
chunk of queries finds its keys by rank. Ignores caches and windows: one whole sequence, causal. Which of the earlier
keys a query gets to see depends on the whole sequence. Off by default: benchmarks/long_context.py shows what it costs.
Shapes: N tokens, H query heads, R head dim, V value dim, X tokens of a chunk, C chunks, Y keys that a chunk sees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import LSH


def attend_lsh(q_NHR: Tensor, k_MNR: Tensor, v_MNV: Tensor, *, lsh: LSH, scale: float | None = None) -> Tensor:
    """Causal attention of a whole sequence over a part of its keys, (N, H * V); no pair counts twice.

    The first round's chunks are neighbours in the text, those of the others neighbours in a hash's order. The rounds'
    results are weighted by what each saw (Reformer, equation 6).
    """
    num_tokens, num_heads, head_dim = q_NHR.shape
    padded = (0, 0, 0, -num_tokens % lsh.chunk)  # behind the text, where no token looks
    q_HNR = F.pad(q_NHR.transpose(0, 1), padded) * (scale or head_dim**-0.5)
    k_HNR, v_HNV = (F.pad(x, padded).repeat_interleave(num_heads // len(x), 0) for x in (k_MNR, v_MNV))
    outs, weights = [], []
    seen: list[tuple[Tensor, Tensor]] = []  # of each round, the keys' ranks and where each query's keys begin
    for buckets_q_HN, buckets_k_HN in _hashes(q_HNR, k_HNR, lsh):
        query_HCX, key_HCY, begin_HC = _chunks(buckets_q_HN, buckets_k_HN, lsh.chunk)
        visible = key_HCY.unsqueeze(2) <= query_HCX.unsqueeze(3)
        for rank_HN, begin_HN in seen:  # what an earlier round saw
            rank, begin = _take(rank_HN, key_HCY).unsqueeze(2), _take(begin_HN, query_HCX).unsqueeze(3)
            visible &= (rank < begin) | (rank >= begin + 2 * lsh.chunk)
        visible &= key_HCY.unsqueeze(2) >= lsh.sinks
        if not seen and lsh.sinks:
            sinks = torch.arange(lsh.sinks, device=key_HCY.device).expand(*key_HCY.shape[:2], -1)
            key_HCY = torch.cat((sinks, key_HCY), -1)
            visible = torch.cat((sinks.unsqueeze(2) <= query_HCX.unsqueeze(3), visible), -1)
        scores = _rows(q_HNR, query_HCX) @ _rows(k_HNR, key_HCY).transpose(2, 3)
        scores = scores.masked_fill_(~visible, float("-inf"))
        weight_HCX = scores.logsumexp(-1)
        shares = (scores - weight_HCX.unsqueeze(-1)).exp().nan_to_num_(0.0)  # a query may see nothing new
        back_HN = query_HCX.flatten(1).argsort(-1)
        outs.append(_rows((shares @ _rows(v_HNV, key_HCY)).flatten(1, 2), back_HN.unsqueeze(1)).squeeze(1))
        weights.append(_take(weight_HCX.flatten(1), back_HN))
        rank_HN = _ranks(buckets_k_HN)
        seen.append((rank_HN, _take(begin_HC.repeat_interleave(lsh.chunk, -1), back_HN)))
    share_BHN = torch.stack(weights).softmax(0)
    out_HNV = (torch.stack(outs) * share_BHN.unsqueeze(-1)).sum(0)
    return out_HNV[:, :num_tokens].transpose(0, 1).reshape(num_tokens, -1)


def _hashes(q_HNR: Tensor, k_HNR: Tensor, lsh: LSH) -> list[tuple[Tensor, Tensor]]:
    """Buckets of queries and keys, (H, N) each: of one bucket for all, then of random rotations."""
    everything = torch.zeros(q_HNR.shape[:2], dtype=torch.int64, device=q_HNR.device)
    generator = torch.Generator().manual_seed(lsh.seed)
    hashes = [(everything, everything)]
    for _ in range(lsh.rounds):
        rotation = torch.randn(q_HNR.shape[-1], lsh.num_buckets // 2, generator=generator).to(q_HNR)
        q, k = (x @ rotation for x in (q_HNR, k_HNR))
        hashes.append((torch.cat((q, -q), -1).argmax(-1), torch.cat((k, -k), -1).argmax(-1)))
    return hashes


def _chunks(buckets_q_HN: Tensor, buckets_k_HN: Tensor, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries in chunks by (bucket, position), and the keys that end where a chunk's last query would stand.

    Returns:
        query_HCX and key_HCY: positions. begin_HC: the rank of the first key of each chunk.
    """
    num_tokens = buckets_q_HN.shape[1]
    position_N = torch.arange(num_tokens, device=buckets_q_HN.device)
    place_q_HN, place_k_HN = (buckets * num_tokens + position_N for buckets in (buckets_q_HN, buckets_k_HN))
    sorted_q, sorted_k = place_q_HN.sort(-1), place_k_HN.sort(-1)
    end_HC = torch.searchsorted(sorted_k.values, sorted_q.values[:, chunk - 1 :: chunk].contiguous(), right=True)
    num_keys = min(2 * chunk, num_tokens)
    begin_HC = (end_HC - num_keys).clamp(min=0)
    rank_HCY = begin_HC.unsqueeze(-1) + torch.arange(num_keys, device=position_N.device)
    return sorted_q.indices.view(len(end_HC), -1, chunk), _take(sorted_k.indices, rank_HCY), begin_HC


def _ranks(buckets_HN: Tensor) -> Tensor:
    return buckets_HN.argsort(dim=-1, stable=True).argsort(-1)


def _take(values_HN: Tensor, index: Tensor) -> Tensor:
    """values[h, index[h, ...]]."""
    return values_HN.gather(1, index.flatten(1)).view(index.shape)


def _rows(x_HNR: Tensor, index_HCX: Tensor) -> Tensor:
    """x[h, index[h, c, x]], (H, C, X, R)."""
    heads = torch.arange(len(x_HNR), device=x_HNR.device)[:, None, None]
    return x_HNR[heads, index_HCX]
