"""Mixture of experts: a router picks k experts for each token, shared experts see all (DeepSeekMoE, arXiv:2401.06066).

Ignores training: no auxiliary loss, no capacity limit, no dropped tokens.
Shapes: T tokens, D model dim, E routed experts, K experts per token, F expert dim, P = T * K token-expert pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.config import ModelConfig
from core_model.families import FAMILIES
from core_model.quantize import Group
from core_model.routing import GroupScore, expert_scores, group_limited, routing_weights, top_k
from core_model.weights import Weights, side_by_side


class MLP:
    """SwiGLU (arXiv:2002.05202): down(silu(gate x) * up x)."""

    def __init__(self, weights: Weights, prefix: str, *, bias: bool = False) -> None:
        self.gate_up_proj = weights.linear(prefix, "gate_proj", "up_proj", bias=bias)
        self.down_proj = weights.linear(prefix, "down_proj", bias=bias)

    def __call__(self, x_TD: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x_TD).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate).mul_(up))


class Router:
    """Scores every expert and picks k, always in fp32; `core_model/routing.py` has the choices.

    Where linear layers have exact rows (see `core_model/passes.py`), so has the router: it always multiplies as many.
    """

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str) -> None:
        self.config = config
        self.weight_ED = weights.tensor(f"{prefix}.weight", dtype=torch.float32)
        self.bias_E = weights.tensor(f"{prefix}.bias", dtype=torch.float32) if config.router_bias else None
        self.correction_E = None
        if config.topk_method == "noaux_tc":
            self.correction_E = weights.tensor(f"{prefix}.e_score_correction_bias", dtype=torch.float32)

        self.rows = _ROUTER_ROWS if weights.has_exact_rows else None

    def __call__(self, x_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Route each token.

        Returns:
            weights_TK fp32, and experts_TK int64.
        """
        config = self.config
        scores_TE = expert_scores(self.logits(x_TD), config.scoring_func)[: len(x_TD)]
        choice_TE = scores_TE if self.correction_E is None else scores_TE + self.correction_E
        if config.topk_method != "greedy":
            by: GroupScore = "top2_sum" if config.topk_method == "noaux_tc" else "max"
            choice_TE = group_limited(choice_TE, num_groups=config.n_group, topk_group=config.topk_group, by=by)
        experts_TK = top_k(choice_TE, config.num_experts_per_tok)
        weights_TK = routing_weights(
            scores_TE, experts_TK, normalize=config.norm_topk_prob, scale=config.routed_scaling_factor
        )
        return weights_TK, experts_TK

    def logits(self, x_TD: Tensor) -> Tensor:
        """How well each expert fits each token, (T, E) fp32; where rows are exact, with rows of filling behind."""
        x_TD = x_TD.float()
        if not self.rows:
            return F.linear(x_TD, self.weight_ED, self.bias_E)
        tiles = torch.split(F.pad(x_TD, (0, 0, 0, -len(x_TD) % self.rows)), self.rows)
        return torch.cat([F.linear(tile, self.weight_ED, self.bias_E) for tile in tiles])


class Experts:
    """SwiGLU networks, each for its own rows; gpt-oss clamps the projections and adds 1 to the second."""

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str) -> None:
        names, here = FAMILIES[config.model_type].experts, weights.share.experts(config.n_routed_experts)
        if names.stacked:
            sizes = {"num_experts": len(here), "rows_per_token": config.num_experts_per_tok}
            self.gate_up_proj = weights.stacked_linear(f"{prefix}.gate_up_proj", **sizes, interleaved=2)
            self.down_proj = weights.stacked_linear(f"{prefix}.down_proj", **sizes)
        else:
            experts = [f"{prefix}.{i}" for i in here]
            k = config.num_experts_per_tok
            self.gate_up_proj = weights.grouped_linear(experts, names.gate_proj, names.up_proj, rows_per_token=k)
            self.down_proj = weights.grouped_linear(experts, names.down_proj, rows_per_token=k)
        self.gate_up_bias_EF = self.down_bias_ED = None
        if config.expert_bias:
            self.gate_up_bias_EF = side_by_side(weights.tensor(f"{prefix}.gate_up_proj_bias").t(), 2).t()
            self.down_bias_ED = weights.tensor(f"{prefix}.down_proj_bias")
        self.limit, self.alpha = config.swiglu_limit, config.swiglu_alpha

    def __call__(self, x_PD: Tensor, groups: Sequence[Group]) -> Tensor:
        """Rows (P, D) sorted by expert, each group through its own expert."""
        gate, up = _add_bias(self.gate_up_proj(x_PD, groups), self.gate_up_bias_EF, groups).chunk(2, dim=-1)
        if self.limit:
            gate, up = gate.clamp(max=self.limit), up.clamp(-self.limit, self.limit)
            hidden = gate * (gate * self.alpha).sigmoid() * (up + 1)
        else:
            hidden = F.silu(gate).mul_(up)
        return _add_bias(self.down_proj(hidden, groups), self.down_bias_ED, groups)


class MoE:
    """Routed experts plus shared experts. Each token-expert pair is a row, sorted by expert.

    Attributes:
        here: The experts of this process; other processes have the others (`core_model/parallel`).
    """

    def __init__(self, config: ModelConfig, weights: Weights, prefix: str) -> None:
        names = FAMILIES[config.model_type].experts
        self.gate = Router(config, weights, f"{prefix}.{names.block}.{names.router}")
        self.experts = Experts(config, weights, f"{prefix}.{names.block}.experts")
        self.shared_experts = None
        if config.n_shared_experts:
            self.shared_experts = MLP(weights, f"{prefix}.{names.block}.shared_experts", bias=config.mlp_bias)
        self.here = weights.share.experts(config.n_routed_experts)
        self._counts = [0] * config.n_routed_experts

    @property
    def counts(self) -> list[int]:
        """How many tokens each expert got so far; only those that are here count."""
        return list(self._counts)

    def __call__(self, x_TD: Tensor) -> Tensor:
        weights_TK, experts_TK = self.gate(x_TD)
        weights_TK = weights_TK.to(x_TD.dtype)
        out_TD = self.shared_experts(x_TD) if self.shared_experts else torch.zeros_like(x_TD)
        experts_P = experts_TK.flatten()
        order_P = experts_P.argsort()
        groups = _groups(experts_P[order_P].tolist())
        if len(self.here) < len(self._counts):
            groups, order_P = _only(self.here, groups, order_P)
        if not groups:
            return out_TD
        token_P = order_P // experts_TK.shape[1]
        self._count(groups)
        y_PD = self.experts(x_TD[token_P], groups)
        return out_TD.index_add_(0, token_P, y_PD * weights_TK.flatten()[order_P].unsqueeze(-1))

    def _count(self, groups: Sequence[Group]) -> None:
        for expert, start, end in groups:
            self._counts[self.here.start + expert] += end - start


def _add_bias(y_PO: Tensor, bias_EO: Tensor | None, groups: Sequence[Group]) -> Tensor:
    if bias_EO is None:
        return y_PO
    experts_P = [expert for expert, start, end in groups for _ in range(start, end)]
    return y_PO + bias_EO[experts_P]


def _groups(sorted_experts: list[int]) -> list[Group]:
    groups, start = [], 0
    for expert, rows in groupby(sorted_experts):
        end = start + sum(1 for _ in rows)
        groups.append((expert, start, end))
        start = end
    return groups


def _only(here: range, groups: Sequence[Group], order_P: Tensor) -> tuple[list[Group], Tensor]:
    """The groups of these experts, which are neighbours, counted from the first of them; and their rows."""
    kept = [group for group in groups if group[0] in here]
    if not kept:
        return [], order_P[:0]
    first, end = kept[0][1], kept[-1][2]
    return [(expert - here.start, start - first, stop - first) for expert, start, stop in kept], order_P[first:end]


_ROUTER_ROWS = 32
