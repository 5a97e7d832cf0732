"""The score as a network: logit = intercept + sum of effect(field, bin) + bounded source terms.

An effect is what a small mixture of experts (the core's own block) makes of the embedding of a (field, bin) token; it
depends on the token alone, so a trained network compiles to a table. Along a monotone field effects only rise or fall.
Ignores data frames, training and calibration.
Shapes: N rows, F fields, T tokens, D embedding dim, S sources.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from core_model.config import ModelConfig
from core_model.train.language_model import MoE, Strategy
from verticals.finance.moe.bins import BinnedField

_SIGN = {"ascending": 1.0, "descending": -1.0, "none": 0.0}
_NUM_WAVES = 6
_STEP_SHIFT = 3.0  # softplus(0 - 3) = .05: a monotone field starts almost flat


@dataclass(frozen=True)
class Size:
    """Of the mixture of experts."""

    dim: int = 16
    expert_dim: int = 16
    num_experts: int = 4
    experts_per_token: int = 2

    def config(self, num_tokens: int) -> ModelConfig:
        """As the core's blocks read it; what only a decoder needs is at its smallest."""
        return ModelConfig(
            model_type="glm4_moe",
            vocab_size=num_tokens,
            hidden_size=self.dim,
            intermediate_size=self.expert_dim,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=self.dim // 2,
            max_position_embeddings=64,
            rms_norm_eps=1e-6,
            rope_theta=10_000.0,
            tie_word_embeddings=True,
            n_routed_experts=self.num_experts,
            n_shared_experts=1,
            num_experts_per_tok=self.experts_per_token,
            moe_intermediate_size=self.expert_dim,
        )


class TokenEffects(nn.Module):
    """The effect of every token: embedding -> norm -> mixture of experts -> scalar; then monotone where it must be.

    A token in an order is embedded by its place, as a sum of cosines; any other has an embedding of its own.

    A missing value that no training row had is neutral: it has the field's mean effect.

    Args:
        binned: The fields.
        size: Of the mixture of experts.
        count_T: Training rows with each token.
    """

    field_T: Tensor  # whose token it is
    share_T: Tensor  # of the training rows
    neutral_T: Tensor  # a missing value without training rows
    is_third_T: Tensor  # has two left neighbours in an order
    is_free_T: Tensor  # nominal or missing: no place in an order, an embedding of its own
    wave_TW: Tensor  # the place of the others
    sign_T: Tensor  # of the step from the left neighbour of a monotone field; 0: free
    first_T: Tensor  # first token of a monotone field; a free token itself

    def __init__(self, binned: Sequence[BinnedField], size: Size, count_T: Tensor) -> None:
        super().__init__()
        count_F = torch.tensor([b.num_bins + 1 for b in binned])
        start_F, field_T = count_F.cumsum(0) - count_F, torch.arange(len(binned)).repeat_interleave(count_F)
        place_T = torch.arange(len(field_T)) - start_F[field_T]
        is_missing_T = place_T == count_F[field_T] - 1
        sign_F = torch.tensor([_SIGN[b.field.trend] for b in binned])
        has_order_F = torch.tensor([b.field.kind != "nominal" for b in binned])
        buffers = {
            "field_T": field_T,
            "share_T": count_T / torch.zeros(len(binned)).index_add(0, field_T, count_T)[field_T],
            "neutral_T": is_missing_T & (count_T == 0),
            "is_third_T": has_order_F[field_T] & (place_T > 1) & ~is_missing_T,
            "is_free_T": (is_missing_T | ~has_order_F[field_T]).float(),
            "wave_TW": _waves((place_T / (count_F[field_T] - 2).clamp(min=1)).clamp(max=1)),
            "sign_T": torch.where(is_missing_T | (place_T == 0), 0.0, sign_F[field_T]),
            "first_T": torch.where(is_missing_T | (sign_F[field_T] == 0), torch.arange(len(field_T)), start_F[field_T]),
        }
        buffers["wave_TW"] *= 1 - buffers["is_free_T"].unsqueeze(-1)
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer)
        self.embed_fields = nn.Embedding(len(binned), size.dim)
        self.embed_waves = nn.Parameter(torch.randn(len(binned), _NUM_WAVES, size.dim) / 10)
        self.embed_tokens = nn.Embedding(len(field_T), size.dim)
        self.norm = nn.RMSNorm(size.dim, eps=1e-6)
        self.mlp = MoE(size.config(len(field_T)), Strategy())
        self.head = nn.Linear(size.dim, 1, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                is_small = name.startswith(("embed", "head")) or name.endswith("gate.weight")
                nn.init.normal_(parameter, std=0.1 if is_small else parameter.shape[1] ** -0.5)

    def forward(self) -> Tensor:
        """Effects in ln(odds bad:good), (T,)."""
        place_TD = torch.einsum("tw,twd->td", self.wave_TW, self.embed_waves[self.field_T])
        x_TD = self.embed_fields(self.field_T) + place_TD + self.is_free_T.unsqueeze(-1) * self.embed_tokens.weight
        y_1TD, _ = self.mlp(self.norm(x_TD).unsqueeze(0))
        raw_T = self.head(x_TD + y_1TD[0]).squeeze(-1)
        # A monotone field: its first bin, then steps of one sign. Rounding keeps the order: each operation does.
        step_T = self.sign_T * F.softplus(raw_T - _STEP_SHIFT)
        climb_T = step_T.cumsum(0)
        effect_T = torch.where(self.sign_T == 0, raw_T, raw_T[self.first_T] + climb_T - climb_T[self.first_T])
        mean_F = effect_T.new_zeros(self.embed_fields.num_embeddings)
        mean_F = mean_F.index_add(0, self.field_T, self.share_T * effect_T)
        return torch.where(self.neutral_T, mean_F[self.field_T], effect_T)

    def penalty(self, effect_T: Tensor, *, ridge_F: Tensor, smooth_F: Tensor) -> Tensor:
        """Ridge on effects and on the curvature along an order, halved: a Gaussian prior that leaves lines alone."""
        bend_T = effect_T.diff(n=2) * self.is_third_T[2:]
        ridge_T, smooth_T = ridge_F[self.field_T], smooth_F[self.field_T[2:]]
        return ((ridge_T * effect_T.square()).sum() + (smooth_T * bend_T.square()).sum()) / 2


def _waves(place_T: Tensor) -> Tensor:
    """Chebyshev polynomials of a place in 0-1, (T, W), damped: lines come first, then gentle bends."""
    degree_W = torch.arange(1, _NUM_WAVES + 1)
    return (degree_W * torch.acos(1 - 2 * place_T).unsqueeze(-1)).cos() / degree_W.square()


class SourceTerm(nn.Module):
    """One source's part of the logit: within +-bound, zero where the source is absent.

    Args:
        encoder: Source input (N, ...) to a scalar (N,).
        num_sources: How many sources may be present beside it; which are, opens or closes this term's gate.
        bound: The largest effect, in ln(odds).
    """

    def __init__(self, encoder: nn.Module, *, num_sources: int, bound: float) -> None:
        super().__init__()
        self.encoder, self.bound = encoder, bound
        self.gate = nn.Linear(num_sources, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, 3.0)  # open at first

    def forward(self, x: Tensor, present_NS: Tensor, source_idx: int) -> Tensor:
        """Effect in ln(odds bad:good), (N,)."""
        gate_N = self.gate(present_NS).sigmoid().squeeze(-1) * present_NS[:, source_idx]
        effect_N: Tensor = gate_N * self.bound * torch.tanh(self.encoder(x) / self.bound)
        return effect_N


class ScoreNetwork(nn.Module):
    """The logit of one member or several. Without source terms it is a table.

    Members share the experts and differ in bins, embeddings and the rows that they learn from: a step costs what its
    calls cost, and so one for all members is as dear as one for each.

    Args:
        members: The binned fields of each.
        size: Of the mixture of experts.
        count_T: Training rows with each token, members one after another.
        base_rate: Share of events: what the score starts from.
        sources: Bounded terms by name.
    """

    def __init__(
        self,
        members: Sequence[Sequence[BinnedField]],
        size: Size,
        *,
        count_T: Tensor,
        base_rate: float,
        sources: dict[str, SourceTerm] | None = None,
    ) -> None:
        super().__init__()
        self.intercept_M = nn.Parameter(torch.full((len(members),), math.log(base_rate / (1 - base_rate))))
        self.effects = TokenEffects([b for binned in members for b in binned], size, count_T)
        self.num_tokens = [sum(b.num_bins + 1 for b in binned) for binned in members]
        self.sources = nn.ModuleDict(sources or {})

    def tables(self, effect_T: Tensor | None = None) -> tuple[Tensor, ...]:
        """The effects of each member; those in `effect_T` in place of the network's own, if given."""
        return torch.split(self.effects() if effect_T is None else effect_T, self.num_tokens)

    def forward(
        self,
        row_NT: Tensor,
        *,
        table_T: Tensor | None = None,
        inputs: dict[str, Tensor] | None = None,
        present_NS: Tensor | None = None,
    ) -> Tensor:
        """ln(odds bad:good) of a network with one member, (N,).

        Args:
            row_NT: 1 where a row has the token, else 0: `rows` of its tokens.
            table_T: The network's effects, if the caller has them already.
            inputs: Source name to its input; rows of absent sources may hold anything finite.
            present_NS: 1 where a row has the source, in the order of `sources`; needed with `inputs`.
        """
        logit_N = self.intercept_M[0] + row_NT @ (self.effects() if table_T is None else table_T)
        if inputs:
            assert present_NS is not None
            for i, (name, term) in enumerate(self.sources.items()):
                logit_N = logit_N + term(inputs[name], present_NS, i)
        return logit_N


def rows(token_NF: Tensor, num_tokens: int) -> Tensor:
    """Tokens as rows of zeros and ones, (N, T) fp32: a product with effects, and its gradient, is one matrix call."""
    return torch.zeros(len(token_NF), num_tokens).scatter_(1, token_NF, 1.0)
