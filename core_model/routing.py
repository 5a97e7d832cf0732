"""Choosing experts: scores for all, a choice of k, weights for the chosen. Pure functions that any router composes.

Ignores where logits come from, and what experts compute. A choice has no gradient; weights carry it to the logits.
Shapes: T tokens, E experts, K experts a token, G groups, X = E / G neighbouring experts of one group.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

ScoringFunc = Literal["softmax", "sigmoid"]
GroupScore = Literal["max", "top2_sum"]


def expert_scores(logits_TE: Tensor, scoring_func: ScoringFunc) -> Tensor:
    """How well each expert fits each token, 0-1.

    "softmax" makes experts compete (Shazeer 2017, arXiv:1701.06538); "sigmoid" scores each by itself, so that adding an
    expert changes no other's score (DeepSeek-V3, arXiv:2412.19437).
    """
    return logits_TE.sigmoid() if scoring_func == "sigmoid" else logits_TE.softmax(-1)


def top_k(choice_TE: Tensor, k: int) -> Tensor:
    """The k best experts of each token, (T, K) int64, in no particular order."""
    return choice_TE.topk(k, dim=-1, sorted=False).indices


def group_scores(choice_TE: Tensor, num_groups: int, *, by: GroupScore) -> Tensor:
    """How good each group of neighbouring experts is, (T, G), judged by its own experts.

    Args:
        choice_TE: What experts are chosen by: scores, or scores plus a selection bias.
        num_groups: G, a divisor of E.
        by: "max" is the best expert (DeepSeek-V2, arXiv:2405.04434); "top2_sum" the two best together (DeepSeek-V3),
            which needs two experts a group.
    """
    choice_TGX = choice_TE.view(choice_TE.shape[0], num_groups, -1)
    if by == "max":
        return choice_TGX.amax(-1)
    return choice_TGX.topk(2, dim=-1).values.sum(-1)


def hierarchical(choice_TE: Tensor, group_score_TG: Tensor, *, topk_group: int) -> Tensor:
    """Two levels: groups first, by a score of their own, then experts within the `topk_group` best groups.

    The group score may come from anywhere, for instance from a small router over groups (hierarchical mixture of
    experts: Jordan and Jacobs 1994; Shazeer 2017, appendix B). `group_limited` is the case where it comes from the
    group's own experts. A following `top_k` finishes the choice.

    Returns:
        `choice_TE` with -inf for the experts of all other groups.
    """
    num_tokens, num_groups = group_score_TG.shape
    best_TG = group_score_TG.topk(topk_group, dim=-1, sorted=False).indices
    dropped_TG = torch.ones_like(group_score_TG, dtype=torch.bool).scatter_(1, best_TG, False)
    choice_TGX = choice_TE.view(num_tokens, num_groups, -1)
    return choice_TGX.masked_fill(dropped_TG.unsqueeze(-1), float("-inf")).flatten(1)


def group_limited(choice_TE: Tensor, *, num_groups: int, topk_group: int, by: GroupScore) -> Tensor:
    """Only experts of the `topk_group` best groups stay eligible; the others get -inf (DeepSeek-V2, 2.2.2).

    Groups were devices there, and the limit bounds what a token travels; here they are domains, and it bounds how many
    of them a token mixes.
    """
    if topk_group >= num_groups:
        return choice_TE
    return hierarchical(choice_TE, group_scores(choice_TE, num_groups, by=by), topk_group=topk_group)


def routing_weights(scores_TE: Tensor, experts_TK: Tensor, *, normalize: bool, scale: float = 1.0) -> Tensor:
    """How much each chosen expert counts, (T, K).

    Args:
        scores_TE: Without any selection bias: that decides who is chosen and not how much they count
            (DeepSeek-V3, 2.1.2).
        experts_TK: The choice.
        normalize: Each token's weights sum to `scale`. After softmax scores this equals a softmax over the chosen
            experts' logits alone (Mixtral, arXiv:2401.04088).
        scale: Factor on all weights (DeepSeek's `routed_scaling_factor`).
    """
    weights_TK = scores_TE.gather(1, experts_TK)
    if normalize:
        weights_TK = weights_TK / (weights_TK.sum(-1, keepdim=True) + 1e-20)
    return weights_TK * scale
