"""How far effects may go, from the rows themselves: prior precisions of largest marginal likelihood.

Fields share what they say: each is held to the precision of all together, so that a small sample is pulled as a whole
and a field that tells more or less than the others still goes its own way. The updates are Wood and Fasiolo's (2017,
arXiv:1606.04802), on an additive logistic model of the same bins. Ignores networks.
Shapes: N rows, F fields, T tokens, J penalties: a field has one on its effects, and with an order one on their bends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from verticals.finance.moe.bins import BinnedField, token_index, token_offsets

Array = NDArray[np.float64]

# Held to a line by more than a thousand, a field's effects hardly move in training: any step bends them a little.
_SMALLEST, _LARGEST, _TINY = 1e-3, 1e3, 1e-9
_MAX_ROUNDS = 30
_SETTLED = 0.03  # of a precision's logarithm


@dataclass(frozen=True)
class Prior:
    """Precisions, (F,) each: of effects, and of the curvature along an order (0 for a field that has none)."""

    ridge_F: Array
    smooth_F: Array


@dataclass(frozen=True)
class _Penalty:
    """`matrix` times a precision, on the tokens from `start` on."""

    field: int
    start: int
    matrix: Array
    is_smooth: bool

    @property
    def tokens(self) -> slice:
        return slice(self.start, self.start + len(self.matrix))


def fit_prior(
    binned: Sequence[BinnedField], frame: pd.DataFrame, target: Array, *, start: Prior, num_prior_effects: float
) -> Prior:
    """Precisions from training rows.

    Args:
        binned: The fields.
        frame: (N, F).
        target: Outcomes, 0-1, (N,).
        start: Where the search begins.
        num_prior_effects: How many effects of the precision of all fields together count as seen, for each field.
    """
    token_NF, offsets = token_index(binned, frame), token_offsets(binned)
    num_rows, num_fields = token_NF.shape
    x_NT = sparse.csr_array(
        (np.ones(token_NF.size), token_NF.reshape(-1), np.arange(0, token_NF.size + 1, num_fields)),
        shape=(num_rows, int(offsets[-1])),
    )
    penalties = [p for i, b in enumerate(binned) for p in _penalties(i, b, int(offsets[i]))]
    precision_J = np.array([(start.smooth_F if p.is_smooth else start.ridge_F)[p.field] for p in penalties])
    kind_J, effect_T = np.array([int(p.is_smooth) for p in penalties]), np.zeros(int(offsets[-1]))
    intercept = float(np.log(target.mean() / (1 - target.mean())))
    for _ in range(_MAX_ROUNDS):
        prior_TT = _together(penalties, precision_J, len(effect_T))
        intercept, effect_T, variance_TT = _newton(x_NT, target, intercept, effect_T, prior_TT)
        free_J = np.array([_freedom(p, prior_TT, variance_TT) for p in penalties]) * precision_J
        size_J = np.array([effect_T[p.tokens] @ p.matrix @ effect_T[p.tokens] for p in penalties]) + _TINY
        pooled_J = (np.bincount(kind_J, free_J) / np.bincount(kind_J, size_J))[kind_J] + _TINY
        before_J = precision_J
        precision_J = (free_J + num_prior_effects) / (size_J + num_prior_effects / pooled_J)
        precision_J = np.clip(precision_J, _SMALLEST, _LARGEST)
        if np.abs(np.log(precision_J / before_J)).max() < _SETTLED:
            break
    ridge_F, smooth_F = np.zeros(num_fields), np.zeros(num_fields)
    for p, precision in zip(penalties, precision_J, strict=True):
        (smooth_F if p.is_smooth else ridge_F)[p.field] = precision
    return Prior(ridge_F, smooth_F)


def _penalties(field: int, binned: BinnedField, start: int) -> list[_Penalty]:
    num_bins = binned.num_bins
    found = [_Penalty(field, start, np.eye(num_bins + 1), is_smooth=False)]
    if binned.field.kind != "nominal" and num_bins > 2:
        bend = np.diff(np.eye(num_bins), n=2, axis=0)
        matrix = np.zeros((num_bins + 1, num_bins + 1))
        matrix[:num_bins, :num_bins] = bend.T @ bend
        found.append(_Penalty(field, start, matrix, is_smooth=True))
    return found


def _together(penalties: Sequence[_Penalty], precision_J: Array, num_tokens: int) -> Array:
    prior_TT = np.zeros((num_tokens, num_tokens))
    for p, precision in zip(penalties, precision_J, strict=True):
        prior_TT[p.tokens, p.tokens] += precision * p.matrix
    return prior_TT


def _freedom(penalty: _Penalty, prior_TT: Array, variance_TT: Array) -> float:
    """How many effects the rows decide, over the penalty's precision."""
    at = penalty.tokens
    free = np.linalg.inv(prior_TT[at, at]) - variance_TT[at, at]
    return max(float((free * penalty.matrix).sum()), 0.0)


def _newton(
    x_NT: sparse.csr_array, target: Array, intercept: float, effect_T: Array, prior_TT: Array
) -> tuple[float, Array, Array]:
    """One step on intercept and effects, and the effects' covariance after it."""
    prob = 1 / (1 + np.exp(-(intercept + x_NT @ effect_T)))
    weight = prob * (1 - prob)
    rise = np.append(x_NT.T @ (target - prob) - prior_TT @ effect_T, (target - prob).sum())
    num_tokens = len(effect_T)
    hessian = np.empty((num_tokens + 1, num_tokens + 1))
    hessian[:-1, :-1] = (x_NT.T @ (x_NT * weight[:, None])).toarray() + prior_TT
    hessian[-1, :-1] = hessian[:-1, -1] = x_NT.T @ weight
    hessian[-1, -1] = weight.sum()
    covariance = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
    step = covariance @ rise
    return intercept + float(step[-1]), effect_T + step[:-1], covariance[:-1, :-1]
