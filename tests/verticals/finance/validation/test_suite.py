"""The suite: every row under a rule, gaps that say why, and grades that follow the world."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tests.verticals.finance.validation.samples import sample
from verticals.finance.validation.rules import REGIMES, RULES, in_force
from verticals.finance.validation.sample import Array, ScoredSample
from verticals.finance.validation.schemas import EvidenceRow
from verticals.finance.validation.suite import Question, run_suite

GROUPS = {"region": np.array(["north", "south"] * 1000, dtype=object)}


def approve(points: Array) -> np.ndarray:
    return points >= 500


def rows_of(s: ScoredSample, development: ScoredSample | None = None) -> list[EvidenceRow]:
    return run_suite(Question(sample=s, development=development, approve=approve))


def only(rows: list[EvidenceRow], statistic: str, of: str) -> EvidenceRow:
    [found] = [r for r in rows if (r.statistic, r.of) == (statistic, of) and r.rule != "psi-convention"]
    return found


def test_every_row_names_a_dated_rule_and_its_source() -> None:
    rows = rows_of(sample(months=6, groups=GROUPS), sample(seed=9))

    assert {r.section for r in rows} == {
        "discrimination", "calibration", "drift", "stability", "sensitivity", "fairness",
    }  # fmt: skip
    for r in rows:
        assert (r.rule_version, r.source) == (RULES[r.rule].version, RULES[r.rule].source)
        if r.value is not None and r.low is not None and r.high is not None:
            assert r.low <= r.value <= r.high or (r.section == "drift" and r.low <= r.high < r.value)


def test_a_sound_model_on_the_population_it_was_made_for_shows_no_red() -> None:
    rows = rows_of(sample(6000, months=6), sample(seed=9))

    assert [r for r in rows if r.grade == "red"] == []
    assert only(rows, "slope", "whole sample").grade == "green"
    assert only(rows, "AUC", "whole sample").grade == "green"
    assert only(rows, "PSI", "points").grade == "green"


def test_a_shifted_population_is_red_in_drift_and_not_in_calibration() -> None:
    rows = rows_of(sample(shift=-0.4), sample(seed=9))

    assert only(rows, "PSI", "points").grade == "red"
    assert only(rows, "CSI", "income").grade == "red"
    assert only(rows, "CSI", "kind").grade == "green"
    assert only(rows, "observed default rate (Jeffreys)", "whole sample").grade == "green"


def test_predictions_that_are_too_low_are_red_in_calibration() -> None:
    rows = rows_of(sample(told=-0.6))

    assert only(rows, "observed default rate (Jeffreys)", "whole sample").grade == "red"
    assert only(rows, "intercept", "whole sample").grade == "red"
    assert only(rows, "Hosmer-Lemeshow", "whole sample").grade == "red"


def test_an_overconfident_model_has_a_red_slope() -> None:
    found = only(rows_of(sample(slope=1.6)), "slope", "whole sample")

    assert found.value == pytest.approx(1 / 1.6, abs=0.1)
    assert found.grade == "red"


def test_a_reversed_score_is_red_in_discrimination() -> None:
    assert only(rows_of(sample(slope=-1)), "AUC", "whole sample").grade == "red"


def test_what_the_data_do_not_allow_is_a_row_with_the_reason() -> None:
    rows = rows_of(sample(30))
    gaps = {r.statistic: r.note for r in rows if r.grade == "not measured"}

    assert gaps["AUC"].startswith("needs 20 goods and 20 bads, has")
    assert gaps["PSI"] == "the sample is the development sample and has no dates"
    assert gaps["vintages"] == "the sample has no two months of application"
    assert gaps["adverse impact ratio"] == "the sample names no protected group"
    assert all(r.value is None for r in rows if r.grade == "not measured" and r.section != "fairness")


def test_unknown_outcomes_are_left_out_of_figures_but_not_of_drift() -> None:
    s = sample(1000)
    half = ScoredSample(**(s.__dict__ | {"default": np.where(np.arange(1000) < 500, s.default, np.nan)}))
    rows = rows_of(half, sample(seed=9))

    assert only(rows, "AUC", "whole sample").n == 500
    assert only(rows, "PSI", "points").n == 1000


def test_a_sample_with_dates_is_its_own_reference_for_drift() -> None:
    rows = rows_of(sample(months=8))

    assert "later months against earlier" in only(rows, "PSI", "points, later months against earlier").note
    assert len([r for r in rows if r.section == "stability" and r.statistic == "default rate"]) == 8
    assert only(rows, "AUC lost", "later months against earlier").grade == "green"


def test_the_regimes_of_a_day_are_those_in_force_on_it() -> None:
    assert "eu-ai-act/2027-12" not in {r.version for r in in_force(date(2026, 11, 30))}
    assert "eu-ai-act/2027-12" in {r.version for r in in_force(date(2028, 1, 1))}
    assert {r.version for r in in_force(date(2026, 11, 30))} >= {"us-sr-26-2/2026-04", "us-reg-b/2026-07"}
    assert len({r.version for r in REGIMES}) == len(REGIMES)
