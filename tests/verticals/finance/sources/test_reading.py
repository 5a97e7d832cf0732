"""What counts of a customer's sources, and why another does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.verticals.finance.sources.small_models import ALL, kept, reading, small_model
from verticals.finance.sources.names import SOURCES, Mode, Source
from verticals.finance.sources.reading import read_sources, recorded_kept


def states(found: Any) -> list[tuple[str, str]]:
    return [(part.state, part.because) for part in found.parts]


def test_what_is_there_counts_and_what_is_not_is_missing() -> None:
    found = reading(text=1.0, document=0.5)

    assert states(found) == [("missing", "nothing_kept"), ("used", ""), ("used", "")]
    assert [part.term for part in found.parts] == [0.0, 0.8, 0.4]
    assert found.add_to(-1.0) == (-1.0 + 0.8) + 0.4


def test_without_a_term_the_tables_logit_stays_to_the_bit() -> None:
    for bare in (0.1 + 0.2, -0.0, 1e-300):
        assert repr(reading().add_to(bare)) == repr(bare)


@pytest.mark.parametrize(("mode", "state", "shadow"), [("off", "off", None), ("shadow", "shadow", 0.9)])
def test_a_source_that_the_policy_turns_off_adds_exactly_nothing(mode: Mode, state: str, shadow: float | None) -> None:
    modes: dict[Source, Mode] = {**ALL, "text": mode}
    found = reading(modes=modes, history=-0.5, text=1.0, document=0.5)
    text = found.parts[1]

    assert (text.state, text.because, text.term, text.shadow) == (state, "policy", 0.0, shadow)
    assert [part.term for part in found.used] == [-0.4, 0.4]  # the gate sees two sources


def test_a_policy_that_names_no_source_reads_none() -> None:
    assert states(reading(modes={}, text=1.0)) == [("off", "policy")] * 3


def test_a_term_from_simulated_outcomes_counts_for_simulated_customers_alone() -> None:
    real = read_sources(small_model(synthetic=True), ALL, kept(text=1.0), is_simulated=False)
    own = read_sources(small_model(synthetic=False), ALL, kept(text=1.0), is_simulated=False)

    assert (real.parts[1].state, real.parts[1].because, real.parts[1].shadow) == ("shadow", "synthetic_model", 0.8)
    assert own.parts[1].state == "used"


def test_without_a_model_everything_is_missing() -> None:
    found = read_sources(None, ALL, {}, is_simulated=True)

    assert states(found) == [("missing", "no_model")] * 3
    assert (found.model_version, found.add_to(0.5)) == (None, 0.5)


def test_what_is_recorded_makes_the_same_reading_again() -> None:
    found = reading(history=0.3, document=-1.2)
    again = read_sources(small_model(), ALL, recorded_kept(found.record()), is_simulated=True)

    assert again.record() == found.record()
    assert [part.term for part in again.parts] == [part.term for part in found.parts]
    assert set(found.record()["read"]) == {"history", "document"} < set(SOURCES)
