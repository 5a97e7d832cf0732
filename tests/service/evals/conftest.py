"""Fakes for evaluation: suites made of given figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from verticals.contract import Metric, Progress, Suite

MakeSuite = Callable[..., Suite]


@pytest.fixture
def make_suite() -> MakeSuite:
    def make(
        *metrics: Metric, name: str = "scorecard", dataset: str = "loans", error: BaseException | None = None
    ) -> Suite:
        def run(progress: Progress) -> tuple[Metric, ...]:
            progress("scoring", 0.5)
            if error is not None:
                raise error
            return metrics

        return Suite(name=name, dataset=dataset, split="test", solver="model", scorer="auc", run=run)

    return make
