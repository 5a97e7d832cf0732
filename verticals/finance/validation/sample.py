"""A scored sample: predictions, outcomes where known, and what they may be cut by. Ignores every statistic.

Shape: N applicants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredSample:
    """N scored applicants.

    `default` is 1 for bad, 0 for good, NaN where the outcome is not known (yet). `month` counts months of application
    since January 1970, or is None where the sample has no dates. `groups` holds protected groups by attribute, for
    fairness alone: None where an applicant's is not known. `features` may have no columns.
    """

    prob_default: Array
    points: Array
    default: Array
    features: pd.DataFrame
    month: NDArray[np.int64] | None = None
    groups: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.prob_default)

    def where(self, mask: NDArray[np.bool_]) -> ScoredSample:
        """The applicants that `mask`, (N,), keeps."""
        return ScoredSample(
            prob_default=self.prob_default[mask],
            points=self.points[mask],
            default=self.default[mask],
            features=self.features.loc[mask].reset_index(drop=True),
            month=None if self.month is None else self.month[mask],
            groups={name: values[mask] for name, values in self.groups.items()},
        )

    @property
    def observed(self) -> ScoredSample:
        """Those whose outcome is known."""
        return self.where(~np.isnan(self.default))


def split_by_time(sample: ScoredSample, *, share: float = 0.25) -> tuple[ScoredSample, ScoredSample] | None:
    """(earlier, later): the last whole months that hold at most `share` of the sample, at least one; None if it cannot.

    A month is never cut: who applied in the same month stays together.
    """
    if sample.month is None or len(months := np.unique(sample.month)) < 2:
        return None
    later = np.array([(sample.month >= m).mean() for m in months])
    start = months[1:][later[1:] <= share]
    first = start[0] if len(start) else months[-1]
    mask = sample.month >= first
    return sample.where(~mask), sample.where(mask)


def month_number(day: date) -> int:
    """Months since January 1970."""
    return (day.year - 1970) * 12 + day.month - 1


def month_label(number: int) -> str:
    """ "2026-11" for the month."""
    return f"{1970 + number // 12}-{number % 12 + 1:02d}"
