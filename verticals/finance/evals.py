"""The nightly figures of credit scoring, out of fold and beside their baselines. Ignores how they are reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verticals.contract import Handler, Metric, Progress, Resources, Suite
from verticals.finance.data import SOURCE, load_german
from verticals.finance.evals_served import served_suite
from verticals.finance.train import SEED
from verticals.finance.validate import (
    auc_difference,
    challenger_predictor,
    cross_validate,
    figure,
    logistic_predictor,
    scorecard_predictor,
)

_LOWER_IS_BETTER = frozenset({"Brier"})


def evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    """The whole training recipe, cross-validated, and the score as it is served."""
    return [
        Suite(
            name="german-credit",
            dataset=SOURCE,
            split="stratified 10-fold, every applicant held out once; 95 % bootstrap over applicants",
            solver="WoE scorecard, refitted in each fold (bins and weights)",
            scorer="AUC, KS, Brier, calibration slope; baseline: one-hot logistic regression, same fields and folds",
            run=run_german,
            inside="it refits the model in each fold",
        ),
        served_suite(resources, handlers),
    ]


def run_german(progress: Progress) -> list[Metric]:
    """Scorecard against plain logistic regression and against the challenger."""
    frame, default = load_german()
    prob = {}
    steps = {"scorecard": scorecard_predictor, "challenger": challenger_predictor, "logistic": logistic_predictor}
    for i, (name, predictor) in enumerate(steps.items()):

        def step(what: str, share: float, name: str = name, i: int = i) -> None:
            progress(f"{name}, {what}", (i + share) / len(steps))

        prob[name] = cross_validate(frame, default, predictor, repeats=1, seed=SEED, progress=step).prob_default[0]
    found = []
    for metric in ("AUC", "KS", "Brier"):
        value, low, high = figure(default, prob["scorecard"], metric)
        found.append(
            Metric(
                name=metric,
                value=value,
                low=low,
                high=high,
                n=len(default),
                higher_is_better=metric not in _LOWER_IS_BETTER,
                baseline="logistic regression, one-hot",
                baseline_value=figure(default, prob["logistic"], metric)[0],
            )
        )
    # A fall is the regression to look for: below 1 the probabilities are overconfident.
    value, low, high = figure(default, prob["scorecard"], "calibration slope")
    found.append(Metric(name="calibration slope", value=value, low=low, high=high, n=len(default)))
    value, low, high = figure(default, prob["challenger"], "AUC")
    found.append(Metric(name="challenger AUC", value=value, low=low, high=high, n=len(default)))
    value, low, high = auc_difference(default, prob["scorecard"], prob["challenger"])
    found.append(Metric(name="AUC, scorecard - challenger", value=value, low=low, high=high, n=len(default)))
    return found
