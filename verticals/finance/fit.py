"""Fits the scorecard: monotone optimal bins (optbinning), then a logistic regression on their weights of evidence.

Ignores validation and storage. Deterministic: no random step, and coefficients are rounded to ten decimals.
"""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.data import FEATURES, FeatureSpec
from verticals.finance.scorecard import Scorecard, ScoredFeature, WoeBin

MIN_BIN_SHARE = 0.05  # of the sample in a bin: 50 of 1,000, the usual floor (Siddiqi 2017)
MIN_CATEGORY_SHARE = 0.03  # rarer categories of a nominal field share one bin
SHRINKAGE_C = 0.3  # scikit-learn's C; 1 is overconfident out of fold (slope 0.89), 0.1 gives up discrimination
DECIMALS = 10


def ranks(spec: FeatureSpec, values: pd.Series) -> pd.Series:
    """An ordered field's categories as 0, 1, ... in natural order, so that its bins can be held monotone."""
    return values.map({c: i for i, c in enumerate(spec.categories)}).astype(float)


def binning_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """The table that optbinning sees: ordered fields as ranks, the others as they are."""
    return pd.DataFrame({f.name: ranks(f, frame[f.name]) if f.kind == "ordered" else frame[f.name] for f in FEATURES})


def fit_binning(frame: pd.DataFrame, default: NDArray[np.int_]) -> Any:
    """optbinning's `BinningProcess`, fitted (Navas-Palencia 2020, arXiv:2001.08025)."""
    # cvxpy, which optbinning imports, reports on stderr each solver that it cannot load; none of them is used here.
    logging.getLogger("__cvxpy__").disabled = True
    from optbinning import BinningProcess

    params = {
        f.name: {"monotonic_trend": f.trend} if f.trend != "none" else {"cat_cutoff": MIN_CATEGORY_SHARE}
        for f in FEATURES
    }
    process = BinningProcess(
        [f.name for f in FEATURES],
        categorical_variables=[f.name for f in FEATURES if f.kind == "nominal"],
        min_prebin_size=MIN_BIN_SHARE,
        binning_fit_params=params,
    )
    return process.fit(binning_frame(frame), default)


def fit_scorecard(frame: pd.DataFrame, default: NDArray[np.int_]) -> Scorecard:
    """Fit bins and weights on a development sample.

    A field whose weight would reward the riskier bins (a collinear one) gets the weight 0: points never contradict the
    default rates that are shown beside them.

    Args:
        frame: n rows with the columns of `FEATURES`.
        default: (n,) int, 1 = bad; both classes present.
    """
    process = fit_binning(frame, default)
    bare = [_feature(f, process.get_binned_variable(f.name), frame[f.name], default) for f in FEATURES]
    woe_NF = np.stack(
        [np.array([*(b.woe for b in f.bins), f.missing_woe])[f.bin_index(list(frame[f.name]))] for f in bare], axis=1
    )
    intercept, coefficient_F = _fit_weights(woe_NF, default)
    features = tuple(
        ScoredFeature(
            **(f.__dict__ | {"coefficient": float(c), "mean_woe": round(float(m), DECIMALS)}),
        )
        for f, c, m in zip(bare, coefficient_F, woe_NF.mean(axis=0), strict=True)
    )
    return Scorecard(intercept=intercept, features=features)


def _fit_weights(woe_NF: NDArray[np.float64], default: NDArray[np.int_]) -> tuple[float, NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression

    keep = np.ptp(woe_NF, axis=0) > 0
    while True:
        model = LogisticRegression(C=SHRINKAGE_C, tol=1e-10, max_iter=1000).fit(woe_NF[:, keep], default)
        if (model.coef_[0] < 0).all():
            break
        keep[np.flatnonzero(keep)[np.argmax(model.coef_[0])]] = False
    coefficient_F = np.zeros(woe_NF.shape[1])
    coefficient_F[keep] = np.round(model.coef_[0], DECIMALS)
    return round(float(model.intercept_[0]), DECIMALS), coefficient_F


def _feature(spec: FeatureSpec, binned: Any, values: pd.Series, default: NDArray[np.int_]) -> ScoredFeature:
    """Bins of one field as plain data, with counts and WoE of the sample."""
    shapes: list[dict[str, Any]]
    if spec.kind == "nominal":
        groups = [tuple(str(c) for c in g) for g in binned.splits]
        # optbinning names the rare categories it has put together; those it never saw belong nowhere.
        known = {c for g in groups for c in g}
        rare = tuple(c for c in spec.categories if c in set(values) and c not in known)
        shapes = [{"categories": tuple(c for c in spec.categories if c in g)} for g in groups]
        shapes += [{"categories": rare}] if rare else []
    elif spec.kind == "ordered":
        cuts = [0, *(math.ceil(s) for s in binned.splits), len(spec.categories)]
        shapes = [{"categories": spec.categories[a:b]} for a, b in pairwise(cuts)]
    else:
        splits = [float(math.ceil(s)) for s in binned.splits]  # whole months and DM: the same bins, readable
        bounds = [None, *splits, None]
        shapes = [{"low": a, "high": b} for a, b in pairwise(bounds)]
    return _count(spec, shapes, values, default)


def _count(
    spec: FeatureSpec, shapes: list[dict[str, Any]], values: pd.Series, default: NDArray[np.int_]
) -> ScoredFeature:
    seen = values.dropna()
    draft = ScoredFeature(
        name=spec.name,
        kind=spec.kind,
        coefficient=0.0,
        iv=0.0,
        mean_woe=0.0,
        bins=tuple(WoeBin(count=0, defaults=0, woe=0.0, **shape) for shape in shapes),
        seen_low=float(seen.min()) if spec.kind == "numeric" else None,
        seen_high=float(seen.max()) if spec.kind == "numeric" else None,
    )
    index = draft.bin_index(list(values))
    bads, bins, iv = int(default.sum()), [], 0.0
    goods = len(default) - bads
    for i, shape in enumerate(shapes):
        count, bad = int((index == i).sum()), int(default[index == i].sum())
        good_share, bad_share = (count - bad) / goods, bad / bads
        # A bin of one class only has no finite WoE: neutral, as in optbinning.
        woe = math.log(good_share / bad_share) if good_share and bad_share else 0.0
        iv += (good_share - bad_share) * woe
        bins.append(WoeBin(count=count, defaults=bad, woe=round(woe, DECIMALS), **shape))
    return ScoredFeature(**(draft.__dict__ | {"bins": tuple(bins), "iv": round(iv, DECIMALS)}))
