"""Trains a classification head: multinomial logistic regression on pooled hidden states. Ignores where they come from.

Shapes: N examples, C labels, D model dim.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.heads import LinearHead
from core_model.pooled import FloatArray, Pooling


def fit_head(
    hidden_ND: FloatArray,
    labels: Sequence[str],
    *,
    model_version: str,
    pooling: Pooling = "mean",
    l2: float = 1e-3,
    max_steps: int = 200,
) -> LinearHead:
    """The head with the least mean cross entropy plus `l2` / 2 times its squared weights, by L-BFGS in fp64.

    States are standardised for the fit, so that `l2` means the same for every body, and the scaling is folded into the
    weights. The problem is convex: no seed, and the same data gives the same head.

    Args:
        hidden_ND: From `Engine.embed` with the same `pooling`.
        labels: One an example; the head knows those that occur, in alphabetical order.
        model_version: Of that engine.
        l2: 0 or more; more for fewer examples.

    Raises:
        ValueError: fewer than two labels, counts that differ, states that are not finite, a negative `l2`.
    """
    if hidden_ND.ndim != 2 or len(hidden_ND) != len(labels):
        raise ValueError(f"labels: one for each example is needed (got {len(labels)} for {hidden_ND.shape}).")
    if not np.isfinite(hidden_ND).all():
        raise ValueError("hidden: must be finite. Look for the text whose states are not.")
    if l2 < 0:
        raise ValueError(f"l2: must be 0 or more (got {l2}).")
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise ValueError(f"labels: at least 2 different ones are needed (got {len(names)}).")
    x_ND = torch.from_numpy(hidden_ND).double()
    mean_D, std_D = x_ND.mean(0), x_ND.std(0, correction=0).clamp_min(1e-6)
    target_N = torch.tensor([names.index(label) for label in labels])
    weight_CD, bias_C = _minimise((x_ND - mean_D) / std_D, target_N, num_labels=len(names), l2=l2, max_steps=max_steps)
    weight_CD = weight_CD / std_D
    bias_C = bias_C - weight_CD @ mean_D
    return LinearHead(
        names, weight_CD.float().numpy(), bias_C.float().numpy(), pooling=pooling, model_version=model_version
    )


def _minimise(x_ND: Tensor, target_N: Tensor, *, num_labels: int, l2: float, max_steps: int) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False), torch.enable_grad():
        weight_CD = torch.zeros(num_labels, x_ND.shape[1], dtype=torch.float64, requires_grad=True)
        bias_C = torch.zeros(num_labels, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [weight_CD, bias_C], max_iter=max_steps, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(F.linear(x_ND, weight_CD, bias_C), target_N) + l2 / 2 * weight_CD.square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight_CD.detach(), bias_C.detach()
