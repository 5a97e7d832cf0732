"""The scorecard: bins -> weight of evidence -> logit -> points, from readable JSON. Ignores how it was fitted.

One row and a million take the same path: a column of values becomes bin indices, and each bin has its WoE.
Shapes: N applications, F fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from verticals.contract import InvalidInput
from verticals.finance.scaling import Scaling, prob_default

FORMAT = 1


class Columns(Protocol):
    """A table: a dict of lists or a DataFrame."""

    def __getitem__(self, name: str, /) -> Any: ...

    def __contains__(self, name: object, /) -> bool: ...


@dataclass(frozen=True)
class WoeBin:
    """A group of values in the development sample. `woe` = ln(share of goods / share of bads); higher is safer."""

    count: int
    defaults: int
    woe: float
    categories: tuple[str, ...] = ()  # ordered and nominal fields
    low: float | None = None  # numeric fields: low <= value < high; None is unbounded
    high: float | None = None

    @property
    def range_label(self) -> str:
        """A numeric bin in words; bounds are whole numbers where the splits are."""
        if self.low is None and self.high is None:
            return "any"
        if self.low is None:
            return f"under {self.high:,g}"
        return f"{self.low:,g} or more" if self.high is None else f"{self.low:,g} to under {self.high:,g}"


@dataclass(frozen=True)
class ScoredFeature:
    """A field with its bins, in natural order. `missing_woe` is 0: no development row lacks a value, so none is known.

    `mean_woe` is the development sample's average: the average applicant's value.
    """

    name: str
    kind: Literal["numeric", "ordered", "nominal"]
    coefficient: float  # of the WoE in ln(odds bad:good); negative
    iv: float
    mean_woe: float
    bins: tuple[WoeBin, ...]
    missing_woe: float = 0.0
    seen_low: float | None = None  # numeric fields: the range of the development sample
    seen_high: float | None = None

    def bin_index(self, values: Sequence[Any]) -> NDArray[np.intp]:
        """Bin of each value, (N,); `len(bins)` means missing (None or NaN).

        Raises:
            InvalidInput: a category that the development sample did not have: it has no evidence, so no score.
        """
        if self.kind == "numeric":
            numbers = np.array([math.nan if v is None else v for v in values], dtype=np.float64)
            index = np.digitize(numbers, [b.low for b in self.bins[1:] if b.low is not None], right=False)
            return np.where(np.isnan(numbers), len(self.bins), index)
        lookup: dict[Any, int] = {c: i for i, b in enumerate(self.bins) for c in b.categories}
        try:
            return np.array([len(self.bins) if _is_missing(v) else lookup[v] for v in values], dtype=np.intp)
        except KeyError as unseen:
            raise InvalidInput(
                f"must be one of {', '.join(lookup)}", field=self.name, value=str(unseen.args[0])[:40]
            ) from None


@dataclass(frozen=True)
class Scores:
    """Scores of N applications. `points` = base_points + the sum of `contributions`, to the rounding of floats."""

    points: NDArray[np.float64]  # (N,)
    logit: NDArray[np.float64]  # (N,), ln(odds bad:good)
    prob_default: NDArray[np.float64]  # (N,)
    contributions: NDArray[np.float64]  # (N, F), points against the average applicant
    bins: NDArray[np.intp]  # (N, F)
    woe: NDArray[np.float64]  # (N, F)


@dataclass(frozen=True)
class Scorecard:
    """A fitted scorecard: logit = intercept + sum of coefficient * WoE."""

    intercept: float
    features: tuple[ScoredFeature, ...]
    scaling: Scaling = field(default_factory=Scaling)

    @property
    def base_logit(self) -> float:
        """ln(odds bad:good) of the average applicant."""
        return self.intercept + sum(f.coefficient * f.mean_woe for f in self.features)

    @property
    def base_points(self) -> float:
        """Unrounded points of the average applicant."""
        return float(self.scaling.points(self.base_logit))

    def score(self, columns: Columns) -> Scores:
        """Score the rows of a table that has at least the scorecard's fields.

        Raises:
            InvalidInput: a missing column or an unseen category.
        """
        for f in self.features:
            if f.name not in columns:
                raise InvalidInput("the scorecard needs this column", field=f.name)
        return self.score_bins(np.stack([f.bin_index(columns[f.name]) for f in self.features], axis=1))

    def score_bins(self, bin_NF: NDArray[np.intp]) -> Scores:
        """Score rows whose bins are known; bins as `ScoredFeature.bin_index` gives them."""
        woe_NF = np.stack(
            [np.array([*(b.woe for b in f.bins), f.missing_woe])[bin_NF[:, i]] for i, f in enumerate(self.features)],
            axis=1,
        )
        coefficient_F = np.array([f.coefficient for f in self.features])
        mean_woe_F = np.array([f.mean_woe for f in self.features])
        effect_NF = coefficient_F * (woe_NF - mean_woe_F)
        logit_N = np.full(len(effect_NF), self.base_logit)
        for effect_N in effect_NF.T:  # one field after the other: the same rounding for one row as for many
            logit_N = logit_N + effect_N
        return Scores(
            points=self.scaling.points(logit_N),
            logit=logit_N,
            prob_default=prob_default(logit_N),
            contributions=-self.scaling.factor * effect_NF,
            bins=bin_NF,
            woe=woe_NF,
        )

    def bin_points(self, feature: ScoredFeature, woe: float) -> float:
        """What a WoE of `feature` contributes in points, against the average applicant."""
        return -self.scaling.factor * feature.coefficient * (woe - feature.mean_woe)

    def to_json(self) -> bytes:
        """Readable, stable JSON: the same scorecard gives the same bytes."""
        return (json.dumps({"format": FORMAT} | asdict(self), indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes) -> Scorecard:
        """Read what `to_json` wrote.

        Raises:
            ValueError: another format, or fields that do not belong there.
        """
        data = json.loads(content)
        if data.get("format") != FORMAT:
            raise ValueError(f"scorecard format must be {FORMAT} (got {data.get('format')!r}); train it again.")
        features = tuple(
            ScoredFeature(
                **(f | {"bins": tuple(WoeBin(**(b | {"categories": tuple(b["categories"])})) for b in f["bins"])})
            )
            for f in data["features"]
        )
        return cls(intercept=data["intercept"], features=features, scaling=Scaling(**data["scaling"]))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
