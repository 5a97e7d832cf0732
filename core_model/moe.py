"""Mixture of experts: a router picks k experts for each token, shared experts see all (DeepSeekMoE, arXiv:2401.06066).

Ignores training: no auxiliary loss, no capacity limit, no dropped tokens.
Shapes: T tokens, D model dim, E routed experts, K experts per token, G groups, P = T * K token-expert pairs.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.quantize import Group

if TYPE_CHECKING:
    from core_model.weights import Weights


class MLP:
    """SwiGLU (arXiv:2002.05202): down(silu(gate x) * up x)."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self.gate_up_proj = weights.linear(prefix, "gate_proj", "up_proj")
        self.down_proj = weights.linear(prefix, "down_proj")

    def __call__(self, x_TD: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x_TD).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate).mul_(up))


class Router:
    """Scores every expert and picks k from the best groups, always in fp32."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str) -> None:
        self.config = config
        self.weight_ED = weights.tensor(f"{prefix}.weight", dtype=torch.float32)
        self.bias_E = weights.tensor(f"{prefix}.e_score_correction_bias", dtype=torch.float32)

    def __call__(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Route each token.

        The correction bias decides who is chosen and not how much they weigh (DeepSeek-V3, arXiv:2412.19437, 2.1.2).

        Returns:
            weights_TK fp32, and experts_TK int64.
        """
        config = self.config
        logits_TE = F.linear(x_TD.float(), self.weight_ED)
        scores_TE = logits_TE.sigmoid() if config.scoring_func == "sigmoid" else logits_TE.softmax(-1)
        choice_TE = scores_TE + self.bias_E
        if config.topk_group < config.n_group:
            choice_TE = self._keep_best_groups(choice_TE)
        experts_TK = choice_TE.topk(config.num_experts_per_tok, dim=-1, sorted=False).indices
        weights_TK = scores_TE.gather(1, experts_TK)
        if config.norm_topk_prob:
            weights_TK = weights_TK / (weights_TK.sum(-1, keepdim=True) + 1e-20)
        return weights_TK * config.routed_scaling_factor, experts_TK

    def _keep_best_groups(self, choice_TE: Tensor) -> Tensor:
        """A group is as good as its two best experts together; experts of the other groups get -inf."""
        choice_TGX = choice_TE.view(choice_TE.shape[0], self.config.n_group, -1)
        group_score_TG = choice_TGX.topk(2, dim=-1).values.sum(-1)
        best_TG = group_score_TG.topk(self.config.topk_group, dim=-1, sorted=False).indices
        dropped_TG = torch.ones_like(group_score_TG, dtype=torch.bool).scatter_(1, best_TG, False)
        return choice_TGX.masked_fill(dropped_TG.unsqueeze(-1), float("-inf")).flatten(1)


class MoE:
    """Routed experts plus shared experts. Each token-expert pair is a row, sorted by expert."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str) -> None:
        self.gate = Router(config, weights, f"{prefix}.gate")
        experts = [f"{prefix}.experts.{i}" for i in range(config.n_routed_experts)]
        self.gate_up_proj = weights.grouped_linear(experts, "gate_proj", "up_proj")
        self.down_proj = weights.grouped_linear(experts, "down_proj")
        self.shared_experts = MLP(weights, f"{prefix}.shared_experts") if config.n_shared_experts else None

    def __call__(self, x_TD: Tensor) -> Tensor:
        weights_TK, experts_TK = self.gate(x_TD)
        weights_TK = weights_TK.to(x_TD.dtype)
        out_TD = self.shared_experts(x_TD) if self.shared_experts else torch.zeros_like(x_TD)
        if len(x_TD) == 1:  # decoding one request: its k rows need no sorting
            groups = [(expert, i, i + 1) for i, expert in enumerate(experts_TK[0].tolist())]
            y_KD = self._run_experts(x_TD.expand(len(groups), -1), groups)
            return out_TD.addmm_(weights_TK, y_KD)

        experts_P = experts_TK.flatten()
        order_P = experts_P.argsort()
        token_P = order_P // experts_TK.shape[1]
        y_PD = self._run_experts(x_TD[token_P], _groups(experts_P[order_P].tolist()))
        return out_TD.index_add_(0, token_P, y_PD * weights_TK.flatten()[order_P].unsqueeze(-1))

    def _run_experts(self, x_PD: Tensor, groups: list[Group]) -> Tensor:
        gate, up = self.gate_up_proj(x_PD, groups).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate).mul_(up), groups)


def _groups(sorted_experts: list[int]) -> list[Group]:
    groups, start = [], 0
    for expert, rows in groupby(sorted_experts):
        end = start + sum(1 for _ in rows)
        groups.append((expert, start, end))
        start = end
    return groups
