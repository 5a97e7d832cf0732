"""Trains champion and challenger on the embedded data and registers them. Deterministic: equal inputs, equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from verticals.contract import Progress, Resources
from verticals.finance.challenger import PARAMS, ROUNDS, fit_challenger
from verticals.finance.data import DATA_NOTE, EXCLUDED, LICENCE, SOURCE, load_german
from verticals.finance.fit import fit_scorecard
from verticals.finance.scaling import Scaling
from verticals.finance.validate import (
    METRICS,
    calibration_bands,
    challenger_predictor,
    cross_validate,
    figure,
    scorecard_predictor,
)

SCORECARD, CHALLENGER = "finance.scorecard", "finance.challenger"
SEED = 20261101
METHOD = (
    "Stratified {folds}-fold cross-validation on the development sample, bins included; figures over the 1,000 "
    "held-out predictions, 95 % percentile bootstrap over applicants (500 draws). Fields and shrinkage were "
    "chosen on the same sample, so the figures are a little kind; no later period was there for an out-of-time test."
)


def train_scorecard(progress: Progress, *, folds: int = 10) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit and validate the scorecard.

    Returns:
        (files, card): `scorecard.json` and `validation.json`; the card's fields for the registry.
    """
    frame, default = load_german()
    progress("finance: fitting the scorecard", 0.0)
    scorecard = fit_scorecard(frame, default)
    found = cross_validate(
        frame,
        default,
        scorecard_predictor,
        repeats=1,
        seed=SEED,
        folds=folds,
        progress=lambda what, share: progress(f"finance: validating the scorecard, {what}", 0.1 + 0.7 * share),
    )
    prob = found.prob_default[0]
    figures = _figures(default, prob)
    validation = {
        "method": METHOD.format(folds=folds),
        "figures": figures,
        "calibration": calibration_bands(default, prob),
        "out_of_fold": {
            "points": np.round(Scaling().points(np.log(prob / (1 - prob))), 6).tolist(),
            "default": default.tolist(),
        },
    }
    card = {
        "trained_on": SOURCE,
        "licence": f"Apache-2.0 (data: {LICENCE})",
        "recipe": "Monotone optimal bins (optbinning), WoE, logistic regression; verticals/finance/train.py",
        "metrics": {m["name"]: [m["value"], m["low"], m["high"]] for m in figures},
        "limits": f"{DATA_NOTE} Not scored: {', '.join(EXCLUDED)}.",
    }
    return {"scorecard.json": scorecard.to_json(), "validation.json": _json(validation)}, card


def train_challenger(progress: Progress, *, folds: int = 10) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit and validate the gradient-boosting challenger; files `model.txt` and `validation.json`."""
    frame, default = load_german()
    progress("finance: fitting the challenger", 0.8)
    found = cross_validate(frame, default, challenger_predictor, repeats=1, seed=SEED, folds=folds)
    figures = _figures(default, found.prob_default[0])
    card = {
        "trained_on": SOURCE,
        "licence": f"Apache-2.0 (data: {LICENCE})",
        "recipe": f"LightGBM, {ROUNDS} rounds, {json.dumps(dict(PARAMS))}; verticals/finance/train.py",
        "metrics": {m["name"]: [m["value"], m["low"], m["high"]] for m in figures},
        "limits": f"{DATA_NOTE} Scored in shadow only: it decides nothing.",
    }
    files = {"model.txt": fit_challenger(frame, default), "validation.json": _json({"figures": figures})}
    return files, card


def demo(resources: Resources, progress: Progress) -> None:
    """Train and register what is not registered yet; safe to run again and to interrupt."""
    for name, train in ((SCORECARD, train_scorecard), (CHALLENGER, train_challenger)):
        if resources.registry.load(name) is None:
            files, card = train(progress)
            resources.registry.save(name, files, card)
    progress("finance: ready", 1.0)


def _figures(default: np.ndarray, prob_default: np.ndarray) -> list[dict[str, Any]]:
    found = []
    for name in METRICS:
        value, low, high = figure(default, prob_default, name)
        found.append({"name": name, "value": round(value, 6), "low": round(low, 6), "high": round(high, 6)})
    return found


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
