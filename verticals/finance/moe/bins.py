"""Fields to bins: numbers by quantiles, ordered and nominal categories; a missing value has a bin of its own.

Knows no data set and no model. A nominal field's rare categories share a bin; a category that was not seen is missing.
Shapes: N rows, F fields, T tokens: a token is one bin of one field, and the last of a field is its missing one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Kind = Literal["numeric", "ordered", "nominal"]
Trend = Literal["ascending", "descending", "none"]


@dataclass(frozen=True)
class Field:
    """How a column is binned. `categories` of an ordered field are in natural order; `trend` is that of the risk."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    trend: Trend = "none"


@dataclass(frozen=True)
class BinnedField:
    """A field with its bins, in natural order: `cuts` of a numeric one, groups of categories of the others."""

    field: Field
    cuts: tuple[float, ...] = ()  # bin i holds cuts[i - 1] <= value < cuts[i]
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def num_bins(self) -> int:
        """Bins without the one for missing values."""
        return len(self.cuts) + 1 if self.field.kind == "numeric" else len(self.groups)

    def index(self, values: pd.Series) -> NDArray[np.intp]:
        """Bin of each value, (N,); `num_bins` means missing or never seen."""
        if self.field.kind == "numeric":
            numbers = pd.to_numeric(values).to_numpy(dtype=np.float64, na_value=math.nan)
            found: NDArray[np.intp] = np.digitize(numbers, self.cuts)
            found[np.isnan(numbers)] = self.num_bins
            return found
        lookup = {c: i for i, group in enumerate(self.groups) for c in group}
        return np.asarray(values.map(lookup).fillna(self.num_bins), dtype=np.intp)

    def shapes(self) -> list[dict[str, Any]]:
        """What `scorecard.WoeBin` says about each bin: bounds or categories."""
        if self.field.kind != "numeric":
            return [{"categories": group} for group in self.groups]
        return [{"low": low, "high": high} for low, high in pairwise([None, *self.cuts, None])]


def infer_fields(
    frame: pd.DataFrame, *, monotone: Mapping[str, int] | None = None, orders: Mapping[str, Sequence[str]] | None = None
) -> tuple[Field, ...]:
    """A field per column: numbers are numeric, others nominal, or ordered if `orders` names their order.

    Args:
        frame: The training rows.
        monotone: Column to 1 (risk rises along it) or -1 (it falls).
        orders: Column to its categories in natural order.

    Raises:
        ValueError: a name that is no column, a direction that is none, or one for a nominal column.
    """
    monotone, orders = monotone or {}, orders or {}
    unknown = sorted({*monotone, *orders} - set(frame.columns))
    if unknown:
        raise ValueError(f"monotone, orders: must name columns (got {', '.join(map(str, unknown))}). Correct the name.")
    fields = []
    for name in frame.columns:
        kind: Kind = "numeric" if pd.api.types.is_numeric_dtype(frame[name]) else "nominal"
        kind = "ordered" if name in orders else kind
        direction = monotone.get(name, 0)
        if direction not in (-1, 0, 1) or (direction and kind == "nominal"):
            raise ValueError(
                f"monotone: must be 1 or -1 and for a numeric or ordered column (got {direction!r} for {name}). "
                "Give the order of its categories in `orders`, or leave it out."
            )
        trend: Trend = {1: "ascending", -1: "descending"}.get(direction, "none")  # type: ignore[assignment]
        fields.append(Field(name, kind, tuple(orders.get(name, ())), trend))
    return tuple(fields)


def fit_bins(field: Field, values: pd.Series, *, num_bins: int, rare_share: float) -> BinnedField:
    """Bins of one field.

    Args:
        field: What it is.
        values: Of the training rows, (N,).
        num_bins: At most so many of a numeric field, with equal shares of the rows.
        rare_share: Nominal categories with a smaller share of the rows are grouped.
    """
    if field.kind == "numeric":
        return BinnedField(field, cuts=_cuts(pd.to_numeric(values).dropna().to_numpy(dtype=np.float64), num_bins))
    share = values.value_counts(normalize=True)
    if field.kind == "ordered":
        return BinnedField(field, groups=tuple((c,) for c in field.categories))
    kept = sorted((c for c in share.index if share[c] >= rare_share), key=lambda c: (-share[c], str(c)))
    rare = tuple(sorted((c for c in share.index if share[c] < rare_share), key=str))
    return BinnedField(field, groups=(*((c,) for c in kept), *((rare,) if rare else ())))


def token_index(binned: Sequence[BinnedField], frame: pd.DataFrame) -> NDArray[np.intp]:
    """The token of each row in each field, (N, F); see `token_offsets`."""
    offsets = token_offsets(binned)
    return np.stack([b.index(frame[b.field.name]) + o for b, o in zip(binned, offsets, strict=False)], axis=1)


def token_offsets(binned: Sequence[BinnedField]) -> NDArray[np.intp]:
    """First token of each field, and the number of tokens: (F + 1,)."""
    return np.cumsum([0, *(b.num_bins + 1 for b in binned)], dtype=np.intp)


def union(members: Sequence[BinnedField]) -> BinnedField:
    """Bins that no member cuts through: all cuts of a numeric field; a bin for each category of another."""
    first = members[0]
    if first.field.kind == "numeric":
        return BinnedField(first.field, cuts=tuple(sorted({cut for m in members for cut in m.cuts})))
    together: dict[tuple[int, ...], list[str]] = {}
    for category in dict.fromkeys(c for m in members for group in m.groups for c in group):
        together.setdefault(tuple(_group(m, category) for m in members), []).append(category)
    return BinnedField(first.field, groups=tuple(map(tuple, together.values())))


def bin_of(member: BinnedField, shape: Mapping[str, Any]) -> int:
    """Which bin of a member holds a bin of its `union`, given by its `shapes`."""
    if member.field.kind == "numeric":
        return 0 if shape["low"] is None else int(np.digitize(shape["low"], member.cuts))
    return _group(member, shape["categories"][0])


def _group(member: BinnedField, category: str) -> int:
    return next((i for i, group in enumerate(member.groups) if category in group), member.num_bins)


def _cuts(numbers: NDArray[np.float64], num_bins: int) -> tuple[float, ...]:
    """Between distinct values while there are few, else at quantiles; whole numbers where all values are."""
    distinct = np.unique(numbers)
    if len(distinct) <= num_bins:
        cuts = (distinct[1:] + distinct[:-1]) / 2
    else:
        cuts = np.quantile(numbers, np.linspace(0, 1, num_bins + 1)[1:-1])
    if len(distinct) and (distinct == np.round(distinct)).all():
        cuts = np.ceil(cuts)
    # A cut at or below the smallest value would leave an empty bin.
    return tuple(float(c) for c in np.unique(cuts) if c > distinct[0])
