"""German credit, 3 x 10 cross-validation: the served scorecard beside baselines. Keeps no model.

    python -m benchmarks.credit        # about two minutes on two cores

Differences are tested per fold with the corrected resampled t test (Nadeau and Bengio 2003, Machine Learning 52): folds
share training rows, so the plain paired t test is far too sure.
"""

from __future__ import annotations

import logging
import sys
import time

import numpy as np
import pandas as pd
from scipy import stats

from verticals.finance import metrics
from verticals.finance.data import load_german, load_raw
from verticals.finance.validate import (
    Array,
    OutOfFold,
    challenger_predictor,
    cross_validate,
    logistic_predictor,
    scorecard_predictor,
)

REPEATS, FOLDS, SEED = 3, 10, 7


def woe_all_attributes(train: pd.DataFrame, default: np.ndarray, test: pd.DataFrame) -> Array:
    """The reference: optbinning and logistic regression, defaults, on all 20 attributes, prohibited ones included."""
    logging.getLogger("__cvxpy__").disabled = True
    from optbinning import BinningProcess
    from sklearn.linear_model import LogisticRegression

    nominal = [c for c in train if not pd.api.types.is_numeric_dtype(train[c])]
    process = BinningProcess(list(train), categorical_variables=nominal, selection_criteria={"iv": {"min": 0.02}})
    process.fit(train, default)
    model = LogisticRegression(max_iter=1000).fit(process.transform(train, metric="woe"), default)
    return np.asarray(model.predict_proba(process.transform(test, metric="woe"))[:, 1])


def corrected_t(a: Array, b: Array) -> tuple[float, float, float]:
    """(mean difference, half-width of its 95 % interval, p) of per-fold figures on the same folds."""
    gap = a - b
    spread = np.sqrt((1 / len(gap) + 1 / (FOLDS - 1)) * gap.var(ddof=1))
    t = stats.t(len(gap) - 1)
    return float(gap.mean()), float(t.ppf(0.975) * spread), float(2 * t.sf(abs(gap.mean()) / spread))


def main() -> None:
    """Print one Markdown table; AUC, KS and Brier are means over the held-out folds, the slope over repeats."""
    ours, default = load_german()
    everything = load_raw().drop(columns="default")
    entrants = {
        "scorecard (served, 9 fields)": (ours, scorecard_predictor),
        "LightGBM (challenger, 9 fields)": (ours, challenger_predictor),
        "logistic one-hot, 9 fields": (ours, logistic_predictor),
        "WoE-LR, all 20 attributes *": (everything, woe_all_attributes),
        "logistic one-hot, all 20 attributes *": (everything, logistic_predictor),
    }
    found: dict[str, OutOfFold] = {}
    for name, (frame, predictor) in entrants.items():
        start = time.monotonic()
        found[name] = cross_validate(frame, default, predictor, repeats=REPEATS, seed=SEED, folds=FOLDS)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    served = next(iter(found.values()))
    champion = served.per_fold(metrics.auc)
    print("| model | AUC | fold sd | KS | Brier | slope | AUC, scorecard - this [95 %] | p |")
    print("|---|---|---|---|---|---|---|---|")
    for name, oof in found.items():
        aucs = oof.per_fold(metrics.auc)
        slopes = [metrics.calibration_slope(default, p) for p in oof.prob_default]
        row = [f"{aucs.mean():.4f}", f"{aucs.std(ddof=1):.3f}", f"{oof.per_fold(metrics.ks).mean():.3f}"]
        row += [f"{oof.per_fold(metrics.brier).mean():.4f}", f"{np.mean(slopes):.2f}"]
        gap, half, p = corrected_t(champion, aucs) if oof is not served else (0, 0, 1)
        row += [f"{gap:+.4f} [{gap - half:+.4f}, {gap + half:+.4f}]", f"{p:.2f}"] if half else ["", ""]
        print(f"| {name} | {' | '.join(row)} |")
    print("\n* includes sex and marital status, foreign worker, age and telephone, which the product does not use.")


if __name__ == "__main__":
    main()
