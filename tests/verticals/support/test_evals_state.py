"""The nightly suite of dialogue state follows public dialogues, and says what it lacks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from verticals.contract import Unavailable
from verticals.support.evals_state import state_suites


def test_without_the_data_the_suite_is_skipped_with_the_reason() -> None:
    registry = SimpleNamespace(load=lambda name: None)
    (suite,) = state_suites(SimpleNamespace(registry=registry, data_dir=None))  # type: ignore[arg-type]

    with pytest.raises(Unavailable, match="data is not mounted"):
        suite.run(lambda what, share: None)
