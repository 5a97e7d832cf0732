"""Trains champion and challenger on the embedded data and registers them. Deterministic: equal inputs, equal bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.contract import Progress
from verticals.finance.challenger import PARAMS, ROUNDS, fit_challenger
from verticals.finance.data import DATA_NOTE, EXCLUDED, FEATURES, LICENCE, SOURCE, load_german
from verticals.finance.fit import fit_scorecard
from verticals.finance.scaling import Scaling
from verticals.finance.scorecard import Scorecard
from verticals.finance.validate import (
    METRICS,
    Array,
    OutOfFold,
    calibration_bands,
    challenger_predictor,
    cross_validate,
    figure,
    scorecard_predictor,
)

SEED = 20261101
COMMAND = "trivium prepare"  # for the card
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
    validation = _validation(found, folds=folds)
    card = {
        "trained_on": SOURCE,
        **_origin(frame, default),
        "licence": f"Apache-2.0 (data: {LICENCE})",
        "recipe": "WoE scorecard: monotone optimal bins (optbinning), logistic regression; verticals/finance/train.py",
        "metrics": _metrics(validation["figures"]),
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
        **_origin(frame, default),
        "licence": f"Apache-2.0 (data: {LICENCE})",
        "recipe": f"LightGBM, {ROUNDS} rounds, {json.dumps(dict(PARAMS))}; verticals/finance/train.py",
        "metrics": _metrics(figures),
        "limits": f"{DATA_NOTE} Scored in shadow only: it decides nothing.",
    }
    files = {"model.txt": fit_challenger(frame, default), "validation.json": _json({"figures": figures})}
    return files, card


def fit_moe(frame: pd.DataFrame, default: NDArray[np.int_]) -> Scorecard:
    """The MoE scorer on the served fields, under the scorecard's orders and trends, as its table."""
    from verticals.finance.moe.estimator import MoEScorer

    direction = {"ascending": 1, "descending": -1}
    scorer = MoEScorer(
        monotone={f.name: direction[f.trend] for f in FEATURES if f.trend != "none"},
        orders={f.name: f.categories for f in FEATURES if f.kind == "ordered"},
        random_state=SEED,
    )
    return scorer.fit(frame, default).scorecard_


def moe_predictor(train: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """The whole MoE pipeline on the training rows; a category that they lack is scored as not known."""
    card = fit_moe(train, default)
    known = {f.name: {c for b in f.bins for c in b.categories} for f in card.features if f.kind == "nominal"}
    columns = {name: test[name].where(test[name].isin(list(found)), None) for name, found in known.items()}
    return card.score({f.name: columns.get(f.name, test[f.name]) for f in card.features}).prob_default


def train_moe(progress: Progress, *, folds: int = 10) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit and validate the MoE challenger; the same files as the scorecard's, so that it can take its place."""
    frame, default = load_german()
    progress("finance: fitting the mixture of experts", 0.9)
    found = cross_validate(frame, default, moe_predictor, repeats=1, seed=SEED, folds=folds)
    validation = _validation(found, folds=folds)
    card = {
        "trained_on": SOURCE,
        **_origin(frame, default),
        "licence": f"Apache-2.0 (data: {LICENCE})",
        "recipe": "Mixture of experts: on (field, bin) tokens, five members in one table; verticals/finance/moe",
        "metrics": _metrics(validation["figures"]),
        "limits": f"{DATA_NOTE} Not scored: {', '.join(EXCLUDED)}.",
    }
    return {"scorecard.json": fit_moe(frame, default).to_json(), "validation.json": _json(validation)}, card


def _origin(frame: pd.DataFrame, default: NDArray[np.int_]) -> dict[str, Any]:
    """The rows that were learned from, by their hash, and the command that learns from them again."""
    rows = frame.assign(default=default).to_csv(index=False).encode()
    return {"data": {"German credit, scored fields and outcome": hashlib.sha256(rows).hexdigest()}, "command": COMMAND}


def _validation(found: OutOfFold, *, folds: int) -> dict[str, Any]:
    default, prob = found.default, found.prob_default[0]
    return {
        "method": METHOD.format(folds=folds),
        "figures": _figures(default, prob),
        "calibration": calibration_bands(default, prob),
        "out_of_fold": {
            "points": np.round(Scaling().points(np.log(prob / (1 - prob))), 6).tolist(),
            "default": default.tolist(),
        },
    }


def _metrics(figures: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {m["name"]: [m["value"], m["low"], m["high"]] for m in figures}


def _figures(default: np.ndarray, prob_default: np.ndarray) -> list[dict[str, Any]]:
    found = []
    for name in METRICS:
        value, low, high = figure(default, prob_default, name)
        found.append({"name": name, "value": round(value, 6), "low": round(low, 6), "high": round(high, 6)})
    return found


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
