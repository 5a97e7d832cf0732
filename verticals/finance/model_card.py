"""What a reader is told of the model in force: its card with bins and figures, and how its sample scored.

Scores nothing, and decides nothing but what the development sample would have been decided.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from verticals.finance import schemas
from verticals.finance.data import DATA_NOTE, EXCLUDED
from verticals.finance.policy import decide
from verticals.finance.reasons import PROFILE, bin_text
from verticals.finance.scoring import Models, scale_of

BIN_POINTS = 10  # width of a bar of the distribution


def model_card(models: Models) -> schemas.ModelResponse:
    """The card with bins, weights and validation."""
    card, scorecard = models.card, models.scorecard
    n = len(models.validation["out_of_fold"]["default"])
    figures = [
        schemas.Figure(model=name, n=n, **figure)
        for name, found in (
            ("scorecard", models.validation),
            ("challenger", models.challenger_validation),
            ("moe", models.moe_validation),
        )
        for figure in found["figures"]
    ]
    return schemas.ModelResponse(
        name=card.name,
        model_version=models.version,
        sha256=card.sha256,
        trained_on=card.trained_on,
        licence=card.licence,
        recipe=card.recipe,
        limits=card.limits,
        scale=scale_of(scorecard),
        base_points=scorecard.base_points,
        base_logit=scorecard.base_logit,
        features=_features(models),
        excluded=[schemas.Excluded(name=name, reason=reason) for name, reason in EXCLUDED.items()],
        validation=models.validation["method"],
        figures=figures,
        calibration=[schemas.CalibrationBand(**band) for band in models.validation["calibration"]],
        policy=models.policy,
        reason_profile=PROFILE.version,
        challenger=models.challenger_version,
    )


def distribution(models: Models) -> schemas.DistributionResponse:
    """Out-of-fold points of the development sample, by the decision of the policy in `models`."""
    sample = models.validation["out_of_fold"]
    points, default = np.rint(sample["points"]).astype(int), np.array(sample["default"])
    decision = np.array([decide(int(p), models.policy, []) for p in points])
    start = int(points.min()) // BIN_POINTS * BIN_POINTS
    bins = []
    for low in range(start, int(points.max()) + 1, BIN_POINTS):
        inside = (points >= low) & (points < low + BIN_POINTS)
        counts = {name: int((decision[inside] == name).sum()) for name in get_args(schemas.Decision)}
        defaults = int(default[inside].sum())
        bins.append(schemas.DistributionBin(low=low, high=low + BIN_POINTS, defaults=defaults, **counts))
    return schemas.DistributionResponse(
        model_version=models.version,
        n=len(points),
        bins=bins,
        bands=[_band(name, decision, default) for name in get_args(schemas.Decision)],
        policy=models.policy,
        note=f"Out-of-fold scores of the development sample. {DATA_NOTE}",
    )


def _features(models: Models) -> list[schemas.Feature]:
    card = models.scorecard
    found = []
    for f in card.features:
        bins = [
            schemas.Bin(
                label=bin_text(f, i),
                count=b.count,
                defaults=b.defaults,
                default_rate=b.defaults / b.count if b.count else None,
                woe=b.woe,
                points=card.bin_points(f, b.woe),
            )
            for i, b in enumerate(f.bins)
        ]
        missing = schemas.Bin(
            label=bin_text(f, len(f.bins)),
            count=0,
            defaults=0,
            default_rate=None,
            woe=f.missing_woe,
            points=card.bin_points(f, f.missing_woe),
        )
        label = schemas.FEATURE_LABELS[f.name]
        found.append(
            schemas.Feature(
                name=f.name, label=label, kind=f.kind, iv=f.iv, coefficient=f.coefficient, bins=[*bins, missing]
            )
        )
    return found


def _band(name: schemas.Decision, decision: np.ndarray, default: np.ndarray) -> schemas.DecisionBand:
    inside = decision == name
    count, defaults = int(inside.sum()), int(default[inside].sum())
    return schemas.DecisionBand(
        decision=name,
        count=count,
        share=count / len(decision),
        defaults=defaults,
        default_rate=defaults / count if count else None,
    )
