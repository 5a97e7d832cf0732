"""Trains the three terms and their gate together, beside what the table says. Ignores where outcomes come from.

The table's log odds are the offset, so a term learns only what the table does not say. Every subset of the sources is
trained at once: half of the weight on all that a row has, half on the others, so that no term leans on another.
Shapes: N rows, S sources, D inputs of a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from verticals.finance.moe.network import SourceTerm
from verticals.finance.sources.model import SourceHead, SourceModel, shrunk, standardise
from verticals.finance.sources.names import SOURCES, Source

Array = NDArray[np.float64]
PATTERNS = tuple(p for p in product((False, True), repeat=len(SOURCES)) if any(p))


@dataclass(frozen=True)
class Recipe:
    """`bound`: log odds either way, a source; `l2`: half of it times the squared weights is added to the mean loss."""

    bound: Mapping[Source, float] = field(default_factory=lambda: {"history": 2.0, "text": 1.5, "document": 1.5})
    l2: Mapping[Source, float] = field(default_factory=lambda: {"history": 0.02, "text": 0.1, "document": 0.01})
    steps: int = 150


@dataclass(frozen=True)
class SourceInput:
    """What one source says of N rows.

    Attributes:
        reads: Who made it, as `SourceHead.reads`.
        x_ND: NaN: not known. A row of a customer without the source is NaN throughout.
    """

    reads: str
    names: tuple[str, ...]
    x_ND: Array

    @property
    def present(self) -> NDArray[np.bool_]:
        """(N,)."""
        return np.asarray(~np.isnan(self.x_ND).all(1))


@dataclass(frozen=True)
class _Scaled:
    """A source's input as its encoder reads it: values, 0 for what is not known, then marks of what is not."""

    mean_D: Array
    scale_D: Array
    x_NE: Tensor


def fit_sources(
    inputs: Mapping[Source, SourceInput],
    default: NDArray[np.int_],
    offset: Array,
    *,
    recipe: Recipe,
    synthetic: bool,
) -> SourceModel:
    """Fit all terms by L-BFGS in fp64; a source that `inputs` lacks has no head.

    Args:
        default: (N,), 1 = bad.
        offset: (N,), the table's log odds, out of fold.
    """
    scaled = {source: _scale(inputs[source]) for source in SOURCES if source in inputs}
    present_NS = np.stack(
        [inputs[s].present if s in inputs else np.zeros(len(default), bool) for s in SOURCES], axis=1
    ).astype(float)
    raws = {source: _Raw(one.x_NE.shape[1]) for source, one in scaled.items()}
    terms = {
        source: SourceTerm(raw, num_sources=len(SOURCES), bound=recipe.bound[source]).double()
        for source, raw in raws.items()
    }
    target_N, offset_N = torch.from_numpy(default).double(), torch.from_numpy(offset).double()
    there_NS = torch.from_numpy(present_NS)
    share = {p: 0.5 if all(p) else 0.5 / (len(PATTERNS) - 1) for p in PATTERNS}
    parameters = [parameter for term in terms.values() for parameter in term.parameters()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=recipe.steps, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.zeros((), dtype=torch.float64)
        for pattern, weight in share.items():
            seen_NS = there_NS * torch.tensor(pattern, dtype=torch.float64)
            logit_N = offset_N
            for source, term in terms.items():
                logit_N = logit_N + term(scaled[source].x_NE, seen_NS, SOURCES.index(source))
            value = value + weight * functional.binary_cross_entropy_with_logits(logit_N, target_N)
        for source, raw in raws.items():
            value = value + recipe.l2[source] / 2 * raw.weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    heads = {s: (_head(inputs[s], scaled[s], raws[s], recipe.bound[s]),) if s in raws else () for s in SOURCES}
    return SourceModel("not registered", heads, _gates(terms), synthetic)


class _Raw(nn.Linear):
    """A source's raw sum, (N,); it starts from nothing."""

    def __init__(self, num_inputs: int) -> None:
        super().__init__(num_inputs, 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x_NE: Tensor) -> Tensor:
        """One number a row."""
        return super().forward(x_NE).squeeze(-1)


def _scale(source: SourceInput) -> _Scaled:
    seen_ND = np.ma.masked_invalid(shrunk(source.x_ND, source.names))
    mean_D = seen_ND.mean(axis=0).filled(0.0)
    scale_D = seen_ND.std(axis=0).filled(0.0)
    scale_D = np.where(scale_D > 1e-6, scale_D, 1.0)
    z_ND = standardise(source.x_ND, source.names, mean_D, scale_D)
    x_NE = np.concatenate([np.nan_to_num(z_ND), np.isnan(z_ND)], axis=1)
    return _Scaled(mean_D, scale_D, torch.from_numpy(x_NE))


def _head(source: SourceInput, scaled: _Scaled, raw: _Raw, bound: float) -> SourceHead:
    weight_E = raw.weight.detach().numpy()[0]
    num = len(source.names)
    return SourceHead(
        reads=source.reads,
        names=source.names,
        mean_D=scaled.mean_D,
        scale_D=scaled.scale_D,
        weight_D=weight_E[:num].copy(),
        missing_D=weight_E[num:].copy(),
        bias=float(raw.bias.detach()),
        bound=bound,
    )


def _gates(terms: Mapping[Source, SourceTerm]) -> dict[tuple[bool, ...], tuple[float, ...]]:
    """Every subset's gates; 0 where a source is absent, or has no term."""
    found = {}
    with torch.no_grad():
        for pattern in ((False,) * len(SOURCES), *PATTERNS):
            seen_1S = torch.tensor([pattern], dtype=torch.float64)
            gate = [
                float(terms[s].gate(seen_1S).sigmoid()) if there and s in terms else 0.0
                for s, there in zip(SOURCES, pattern, strict=True)
            ]
            found[pattern] = tuple(gate)
    return found
