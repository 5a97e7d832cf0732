"""The nightly suites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.verticals.finance.conftest import FolderRegistry
from verticals.contract import Context, Handler, Metric, Resources
from verticals.finance import VERTICAL
from verticals.finance.schemas import ScoreRequest
from verticals.finance.tables import FinanceDecision


@pytest.mark.slow
def test_the_suite_reports_figures_with_intervals_and_a_baseline(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    suite, _ = VERTICAL.evals(make_resources(registry), {})
    steps: list[float] = []
    found = {m.name: m for m in suite.run(lambda what, share: steps.append(share))}

    assert all(m.low <= m.value <= m.high for m in found.values())
    assert found["AUC"].low > 0.74
    assert found["AUC"].baseline_value is not None
    assert not found["Brier"].higher_is_better
    assert 0.8 < found["calibration slope"].value < 1.2
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] < 1


def served(resources: Resources, handlers: Mapping[str, Handler]) -> dict[str, Metric]:
    _, suite = VERTICAL.evals(resources, handlers)
    return {metric.name: metric for metric in suite.run(lambda what, share: None)}


def test_the_served_score_is_asked_one_by_one_here_without_a_trace(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    resources = make_resources(registry)

    found = served(resources, VERTICAL.build(resources))

    assert {name: metric.n for name, metric in found.items()} == {"AUC": 250, "KS": 250, "Brier": 250}
    assert found["AUC"].value > 0.75
    assert found["AUC"].baseline_value is not None
    with resources.sessions() as session:
        assert session.scalar(select(func.count()).select_from(FinanceDecision)) == 0


def test_a_live_api_is_asked_for_scores(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources], context: Context
) -> None:
    own = VERTICAL.build(make_resources(registry))
    asked: list[ScoreRequest] = []

    def score(request: ScoreRequest, evaluating: Context) -> Any:
        asked.append(request)
        return own["score"](request, context)

    nothing: Any = None
    live = Resources(nothing, nothing, nothing, nothing, nothing, None)

    found = served(live, {"score": score, "model": own["model"]})

    assert (len(asked), found["AUC"].n) == (250, 250)
