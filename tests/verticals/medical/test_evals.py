"""The suites: figures with intervals on their data, and an honest skip without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from verticals.contract import Metric, Suite, Unavailable
from verticals.medical import VERTICAL


@pytest.fixture
def suites(desk: Any) -> dict[str, Suite]:
    return {suite.name: suite for suite in VERTICAL.evals(desk.resources, desk.handlers)}


def run(suite: Suite) -> dict[str, Metric]:
    return {metric.name: metric for metric in suite.run(lambda _what, _share: None)}


def test_every_faulty_file_is_refused_and_every_valid_one_read(suites: dict[str, Suite]) -> None:
    metrics = run(suites["refusals"])

    assert [m.value for m in metrics.values()] == [1.0, 1.0]
    assert all(0.5 < m.low < 1.0 == m.high for m in metrics.values())


def test_rendering_agrees_with_the_standard_written_out(suites: dict[str, Suite]) -> None:
    assert run(suites["geometry"])["pixels that agree"].value == 1.0


@pytest.mark.slow
def test_no_header_leaks(suites: dict[str, Suite]) -> None:
    leaks = run(suites["deidentification"])["headers with a leak"]

    assert (leaks.value, leaks.higher_is_better) == (0.0, False)
    assert 0 < leaks.high < 0.1


@pytest.mark.slow
def test_quality_finds_degraded_phantoms(suites: dict[str, Suite]) -> None:
    auc = run(suites["quality"])["AUC"]

    assert auc.value > 0.95
    assert auc.baseline_value is not None
    assert auc.low <= auc.value <= auc.high


def test_without_films_the_suite_says_why_it_is_skipped(suites: dict[str, Suite], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="films are not mounted"):
        run(suites["quality-films"])


def test_every_suite_says_what_it_was_measured_on(suites: dict[str, Suite]) -> None:
    for suite in suites.values():
        assert all((suite.dataset, suite.split, suite.solver, suite.scorer))
