"""The kernels at each level that this machine runs; without a compiled library the tests are skipped."""

from __future__ import annotations

import pytest

from core_model.kernels.library import LEVELS, Kernels, Level, open_kernels, status


@pytest.fixture(scope="session", params=LEVELS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Two threads, at each level in turn."""
    return open_at(request.param)


@pytest.fixture(scope="session")
def best_kernels() -> Kernels:
    """Two threads, at the best level."""
    return open_at(None)


def open_at(level: Level | None) -> Kernels:
    """Skips the test where the level does not run."""
    found = status()
    if found.level is None:
        pytest.skip(f"kernels: {found.why}")
    if level is not None and LEVELS.index(level) > LEVELS.index(found.level):
        pytest.skip(f"kernels: {found.why}, so {level} does not run here")
    return open_kernels(num_threads=2, level=level)
