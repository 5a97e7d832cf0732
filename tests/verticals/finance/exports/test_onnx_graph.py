"""Exported graphs give our probabilities, on the development sample and on anything an application may hold."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verticals.finance.applications import applications
from verticals.contract import Unavailable
from verticals.finance import schemas
from verticals.finance.challenger import Challenger
from verticals.finance.data import FEATURES, load_german
from verticals.finance.exports.onnx_graph import (
    export_active,
    export_challenger,
    export_scorecard,
    require_equal,
    score_onnx,
)
from verticals.finance.scorecard import Scorecard
from verticals.finance.scoring import CHALLENGER, SCORECARD, Models


@pytest.fixture(scope="module")
def scorecard(models: Models) -> Scorecard:
    return models.scorecard


@pytest.fixture(scope="module")
def challenger_text(registry: Any) -> bytes:
    text: bytes = registry.load(CHALLENGER)[1]["model.txt"].read_bytes()
    return text


@pytest.fixture(scope="module")
def exported(scorecard: Scorecard, challenger_text: bytes) -> dict[str, bytes]:
    return {
        "scorecard": export_scorecard(scorecard, version="s1"),
        "challenger": export_challenger(challenger_text, version="c1"),
    }


def columns_of(rows: list[schemas.ScoreRequest]) -> dict[str, list[Any]]:
    return {f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}


def test_the_scorecard_gives_our_figures_on_the_development_sample(
    scorecard: Scorecard, exported: dict[str, bytes]
) -> None:
    frame, _ = load_german()
    ours, theirs = scorecard.score(frame), score_onnx(exported["scorecard"], frame)

    assert require_equal("scorecard", ours.prob_default, theirs["prob_default"]) < 1e-12
    assert np.abs(ours.points - theirs["points"]).max() < 1e-9
    assert np.abs(ours.contributions - theirs["contributions"]).max() < 1e-9


def test_the_challenger_gives_our_probabilities_on_the_development_sample(
    challenger_text: bytes, exported: dict[str, bytes]
) -> None:
    frame, _ = load_german()
    ours = Challenger(challenger_text).predict(frame)

    assert require_equal("challenger", ours, score_onnx(exported["challenger"], frame)["prob_default"]) < 1e-6


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(applications(), min_size=1, max_size=20))
def test_any_application_scores_alike(
    scorecard: Scorecard, challenger_text: bytes, exported: dict[str, bytes], rows: list[schemas.ScoreRequest]
) -> None:
    columns = columns_of(rows)
    card, trees = (score_onnx(exported[kind], columns)["prob_default"] for kind in ("scorecard", "challenger"))

    require_equal("scorecard", scorecard.score(columns).prob_default, card)
    require_equal("challenger", Challenger(challenger_text).predict(columns), trees)


@pytest.mark.parametrize("field", [f.name for f in FEATURES])
def test_a_missing_value_scores_alike(
    scorecard: Scorecard, challenger_text: bytes, exported: dict[str, bytes], field: str
) -> None:
    columns = load_german()[0].head(50).to_dict("list") | {field: [None] * 50}

    card, trees = (score_onnx(exported[kind], columns)["prob_default"] for kind in ("scorecard", "challenger"))
    require_equal("scorecard", scorecard.score(columns).prob_default, card)
    require_equal("challenger", Challenger(challenger_text).predict(columns), trees)


def test_a_category_without_evidence_gets_no_score(exported: dict[str, bytes], challenger_text: bytes) -> None:
    columns = load_german()[0].head(2).to_dict("list")
    columns["purpose"] = ["yacht", columns["purpose"][1]]

    found = score_onnx(exported["scorecard"], columns)
    assert math.isnan(found["prob_default"][0])
    assert math.isnan(found["points"][0])
    assert not math.isnan(found["prob_default"][1])
    trees = score_onnx(exported["challenger"], columns)["prob_default"]
    require_equal("challenger", Challenger(challenger_text).predict(columns), trees)


def test_a_graph_names_its_version_its_fields_and_its_scale(scorecard: Scorecard, exported: dict[str, bytes]) -> None:
    model = onnx.load_from_string(exported["scorecard"])
    about = {prop.key: prop.value for prop in model.metadata_props}

    onnx.checker.check_model(model, full_check=True)
    assert about["model_version"] == "s1"
    assert [float(about[key]) for key in ("base_points", "base_odds", "pdo")] == [600, 50, 20]
    fields = json.loads(about["features"])
    assert [f["name"] for f in fields] == [entry.name for entry in model.graph.input]
    assert [f["name"] for f in fields] == [f.name for f in scorecard.features]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx.ml"}


def test_equal_models_give_equal_bytes(scorecard: Scorecard, exported: dict[str, bytes]) -> None:
    assert export_scorecard(scorecard, version="s1") == exported["scorecard"]


def test_a_graph_that_scores_otherwise_is_refused() -> None:
    ours = np.array([0.1, 0.2])

    with pytest.raises(Unavailable, match="within 1e-06"):
        require_equal("scorecard", ours, ours + 2e-6)
    with pytest.raises(Unavailable, match="within 1e-05"):
        require_equal("challenger", ours, np.array([0.1, np.nan]))


def test_the_models_in_force_are_exported_under_their_versions(registry: Any) -> None:
    exports = export_active(registry)

    assert [e.file_name for e in exports] == ["scorecard.onnx", "challenger.onnx"]
    assert [e.version for e in exports] == [registry.cards[name].version for name in (SCORECARD, CHALLENGER)]
    assert max(e.max_difference for e in exports) < 1e-6


def test_another_objective_is_refused(challenger_text: bytes) -> None:
    with pytest.raises(ValueError, match="must be a binary LightGBM model"):
        export_challenger(challenger_text.replace(b"objective=binary sigmoid:1", b"objective=regression"), version="x")
