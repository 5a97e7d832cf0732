"""The nightly suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.verticals.finance.conftest import FolderRegistry
from verticals.contract import Resources
from verticals.finance import VERTICAL


@pytest.mark.slow
def test_the_suite_reports_figures_with_intervals_and_a_baseline(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources]
) -> None:
    [suite] = VERTICAL.evals(make_resources(registry), {})
    steps: list[float] = []
    found = {m.name: m for m in suite.run(lambda what, share: steps.append(share))}

    assert all(m.low <= m.value <= m.high for m in found.values())
    assert found["AUC"].low > 0.74
    assert found["AUC"].baseline_value is not None
    assert not found["Brier"].higher_is_better
    assert 0.8 < found["calibration slope"].value < 1.2
    assert steps == sorted(steps)
    assert 0 <= steps[0] < steps[-1] < 1
