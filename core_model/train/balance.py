"""Keeping experts equally busy: by losses, by selection bias, by capacity. Ignores models: tensors in, tensors out.

Shapes: T tokens, E experts, K experts per token, N tokens of one sequence.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

NOBODY = -1  # the expert of a token-expert pair that was dropped


def count_pairs(experts_TK: Tensor, num_experts: int) -> Tensor:
    """Tokens per expert, (E,) fp32; dropped pairs count for nobody."""
    return torch.bincount(experts_TK.flatten() + 1, minlength=num_experts + 1)[1:].float()


# --- by losses ------------------------------------------------------------------------------------------------------


def switch_loss(probs_TE: Tensor, experts_TK: Tensor) -> Tensor:
    """E * sum of f_i P_i: share of pairs times mean probability (Switch Transformers, arXiv:2101.03961, eq. 4-6).

    Args:
        probs_TE: Router probabilities; each row sums to 1. Sigmoid scores are to be normalised before.
        experts_TK: Chosen experts.

    Returns:
        A scalar, 1 at perfect balance and E when one expert takes all; gradients flow through `probs_TE`.
    """
    num_experts = probs_TE.shape[1]
    counts_E = count_pairs(experts_TK, num_experts)
    return num_experts * (counts_E / counts_E.sum().clamp(min=1) * probs_TE.mean(0)).sum()


def sequence_loss(probs_TE: Tensor, experts_TK: Tensor, *, sequence_length: int) -> Tensor:
    """`switch_loss` of every sequence, averaged (DeepSeek-V3, arXiv:2412.19437, eq. 17-20).

    Balances each sequence, not only their sum; DeepSeek-V3 gives it a weight so small that bias does the work.

    Raises:
        ValueError: the tokens are not whole sequences.
    """
    num_tokens, num_experts = probs_TE.shape
    if sequence_length < 1 or num_tokens % sequence_length:
        raise ValueError(f"sequence_length: must divide the {num_tokens} tokens (got {sequence_length}).")
    probs_BNE = probs_TE.view(-1, sequence_length, num_experts)
    pairs_BNKE = F.one_hot(experts_TK.clamp(min=0), num_experts) * (experts_TK >= 0).unsqueeze(-1)
    share_BE = pairs_BNKE.view(len(probs_BNE), -1, num_experts).float().mean(1)
    return num_experts * (share_BE * probs_BNE.mean(1)).sum(-1).mean()


def z_loss(logits_TE: Tensor) -> Tensor:
    """Mean squared log-partition: keeps router logits small, so that rounding flips no choice (ST-MoE, 2202.08906)."""
    return logits_TE.logsumexp(-1).square().mean()


# --- by selection bias ----------------------------------------------------------------------------------------------


def update_bias(
    bias_E: Tensor,
    counts_E: Tensor,
    *,
    rate: float,
    rule: Literal["sign", "proportional"] = "sign",
    max_abs: float = float("inf"),
) -> Tensor:
    """Raise the bias of idle experts, lower that of busy ones (loss-free balancing, arXiv:2408.15664).

    Args:
        bias_E: Added to the scores when experts are chosen, never to their weights.
        counts_E: Pairs per expert since the last update.
        rate: Step. "sign" moves every bias by it; "proportional" by it times the relative shortfall, 1 - count / mean.
        max_abs: Bound of the result around its mean.

    Returns:
        The new bias, fp32, mean 0: a constant changes no choice.

    Raises:
        ValueError: an unknown rule, or a rate that is not positive.
    """
    if rate <= 0:
        raise ValueError(f"rate: must be above 0 (got {rate}).")
    mean = counts_E.float().mean().clamp(min=1e-9)
    shortfall_E = 1 - counts_E.float() / mean
    if rule == "sign":
        step_E = shortfall_E.sign()
    elif rule == "proportional":
        step_E = shortfall_E
    else:
        raise ValueError(f"rule: must be sign or proportional (got {rule!r}).")
    moved_E = bias_E.float() + rate * step_E
    return (moved_E - moved_E.mean()).clamp(-max_abs, max_abs)


# --- by capacity ----------------------------------------------------------------------------------------------------


def follow_load(load_E: Tensor, counts_E: Tensor, *, decay: float = 0.9) -> Tensor:
    """Exponential moving average of the shares of load, (E,), summing to 1 when both arguments do or have pairs."""
    share_E = counts_E.float() / counts_E.sum().clamp(min=1)
    return decay * load_E + (1 - decay) * share_E


def capacities(load_E: Tensor, *, num_pairs: int, factor: float, max_over_mean: float = 2.0) -> Tensor:
    """Pairs that each expert takes at most, (E,) int64, in proportion to its load.

    An even `load_E` gives the usual fixed capacity, factor * pairs / E (Switch, 2.2). With a moving average of the load
    a busy expert gets room from idle ones: no more memory in all, fewer dropped tokens.

    Args:
        load_E: Shares of the load, as from `follow_load`.
        factor: Room over the expected load; below 1 tokens must be dropped.
        max_over_mean: Bound of a capacity, and 1 over it about the least, in units of the mean: the one keeps a device
            from being swamped, the other lets an idle expert win tokens back.

    Raises:
        ValueError: factor is not positive, or max_over_mean below 1.
    """
    if factor <= 0 or max_over_mean < 1:
        raise ValueError(f"factor: must be above 0, and max_over_mean 1 or more (got {factor} and {max_over_mean}).")
    relative_E = (load_E * len(load_E)).clamp(1 / max_over_mean, max_over_mean)
    relative_E = relative_E / relative_E.mean().clamp(min=1)  # what the bounds added is taken from all
    return (factor * num_pairs / len(load_E) * relative_E).ceil().long()


def assign(choice_TE: Tensor, *, num_experts_per_tok: int, capacity_E: Tensor, reroute: bool) -> Tensor:
    """Token choice under capacity: first choices before second, earlier tokens before later (GShard, 2006.16668).

    Earlier tokens never depend on later ones of the same choice; on another token's higher choice they do, so a full
    expert can leak a little of the future, as in every capacity scheme. Serving has no capacity.

    Args:
        choice_TE: Selection scores; -inf is out of reach.
        capacity_E: Pairs that each expert takes.
        reroute: A token whose expert is full goes to its next choice; otherwise that pair is dropped, and the token has
            the shared expert and the residual stream.

    Returns:
        Chosen experts (T, K), `NOBODY` where dropped.
    """
    num_tokens, num_experts = choice_TE.shape
    left_TE, free_E = choice_TE.detach().clone(), capacity_E.clone()
    experts_TK = torch.full((num_tokens, num_experts_per_tok), NOBODY, device=choice_TE.device)
    for k in range(num_experts_per_tok):
        waiting_T = torch.arange(num_tokens, device=choice_TE.device)
        while len(waiting_T):
            if reroute:
                left_TE[:, free_E <= 0] = -torch.inf
            score, best = left_TE[waiting_T].max(-1)
            reachable = score > -torch.inf
            waiting_T, best = waiting_T[reachable], best[reachable]
            asks = F.one_hot(best, num_experts)
            place = (asks.cumsum(0) * asks).sum(-1)  # 1 is the head of the expert's queue
            fits = place <= free_E[best]
            experts_TK[waiting_T[fits], k] = best[fits]
            free_E = free_E - count_pairs(best[fits], num_experts).long()
            left_TE[waiting_T, best] = -torch.inf
            waiting_T = waiting_T[~fits] if reroute else waiting_T[:0]
    return experts_TK


def expert_choice(scores_TE: Tensor, *, capacity: int) -> Tensor:
    """Experts choose their best tokens (arXiv:2202.09368): perfect balance; a token gets 0 to E experts.

    Not causal: whether a token is chosen depends on later tokens, so a language model trained with it cannot be served
    one token at a time. Here for comparison.

    Returns:
        (T, E) bool, True where the expert takes the token; `capacity` of each column, or all tokens if fewer.
    """
    best_CE = scores_TE.detach().topk(min(capacity, len(scores_TE)), dim=0).indices
    return torch.zeros_like(scores_TE, dtype=torch.bool).scatter_(0, best_CE, True)
