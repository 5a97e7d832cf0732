"""The scorecard as a JSON table that any language can score from: bins, points, bounds. Ignores how it was fitted.

The artefact keeps weights and evidence; this file keeps what follows from them, so that its reader only looks up and
adds. `logit` parts are exact doubles: added in the file's order to `base_logit`, they give our logit to the bit.
"""

from __future__ import annotations

import json
from typing import Any

from verticals.finance.data import DATA_NOTE
from verticals.finance.scorecard import Scorecard, ScoredFeature, WoeBin
from verticals.finance.sources.names import TERM_COLUMNS

FORMAT = "trivium-scorecard-table/1"
HOW = (
    "logit = base_logit + the part of each field's bin, in this order; points = offset - factor * logit, rounded half "
    "to even; prob_default = 1 / (1 + exp(-logit)). A numeric bin holds low <= value < high, null is unbounded. A "
    "missing value has the bin `missing`. A category in no bin has no score."
)
HOW_SOURCES = " Then the values of `sources` are added to the logit, in this order; a missing one is 0."


def export_json(scorecard: Scorecard, *, version: str, sources: bool = False) -> bytes:
    """The table; the same scorecard gives the same bytes."""
    scale = scorecard.scaling
    table: dict[str, Any] = {
        "format": FORMAT,
        "model_version": version,
        "how": HOW + (HOW_SOURCES if sources else ""),
        "note": DATA_NOTE,
        "scale": {
            "base_points": scale.base_points,
            "base_odds": scale.base_odds,
            "pdo": scale.pdo,
            "factor": scale.factor,
            "offset": scale.offset,
        },
        "base_logit": scorecard.base_logit,
        "features": [_feature(scorecard, f) for f in scorecard.features],
    }
    if sources:
        table["sources"] = list(TERM_COLUMNS)
    return (json.dumps(table, indent=1, ensure_ascii=False) + "\n").encode()


def _feature(scorecard: Scorecard, feature: ScoredFeature) -> dict[str, Any]:
    def part(woe: float) -> dict[str, float]:
        logit = feature.coefficient * (woe - feature.mean_woe)
        return {"logit": logit, "points": -scorecard.scaling.factor * logit}

    bins = [_bounds(feature, b) | part(b.woe) for b in feature.bins]
    return {"name": feature.name, "kind": feature.kind, "bins": bins, "missing": part(feature.missing_woe)}


def _bounds(feature: ScoredFeature, group: WoeBin) -> dict[str, Any]:
    if feature.kind == "numeric":
        return {"low": group.low, "high": group.high}
    return {"categories": list(group.categories)}
