"""Real losses are flagged, noise is not."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from service.evals.compare import Previous, compare
from service.evals.judge import change_interval, compare_metric
from service.evals.runner import SuiteResult
from verticals.contract import Metric


def wilson(successes: int, n: int) -> Metric:
    """A proportion with Wilson's score interval."""
    z, p = 1.959964, successes / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Metric("hit", p, (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n), n)


def _result(*metrics: Metric, status="ok", reason=None, **changed) -> SuiteResult:
    result = SuiteResult("finance", "scorecard", "loans", "test", "model", "auc", status, reason, 1.0, metrics)
    return replace(result, **changed)


def _before(result: SuiteResult, last_status="ok") -> dict[tuple[str, str], Previous]:
    return {result.key: Previous(last_status, "run-1", result, "run-1")}


AUC = Metric("auc", 0.80, 0.77, 0.83, 1000)


def test_the_interval_of_a_change_equals_newcombes_published_example() -> None:
    # Newcombe 1998, table II, contrast (a): 56/70 against 48/80, method 10
    change, low, high = change_interval(wilson(48, 80), wilson(56, 70))

    assert change == pytest.approx(0.20)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_the_same_change_has_the_same_verdict_whichever_way_the_metric_points(higher_is_better: bool) -> None:
    sign = 1 if higher_is_better else -1
    old = Metric("m", sign * 5.0, *sorted((sign * 4.0, sign * 5.5)), n=9, higher_is_better=higher_is_better)
    worse = Metric("m", sign * 3.0, *sorted((sign * 2.8, sign * 3.1)), n=9, higher_is_better=higher_is_better)

    change = compare_metric(old, worse, run_id="r")

    assert change.verdict == "regressed"
    assert change.change == -2.0
    assert change.high == pytest.approx(-2 + math.hypot(0.1, 1.0))
    assert compare_metric(worse, old, run_id="r").verdict == "improved"


def test_a_fall_within_both_intervals_is_steady() -> None:
    slightly_worse = replace(AUC, value=0.79, low=0.76, high=0.82)

    assert compare_metric(AUC, slightly_worse, run_id="r").verdict == "steady"


def test_a_value_below_the_old_interval_is_steady_when_its_own_interval_is_wide() -> None:
    small_sample = replace(AUC, value=0.76, low=0.60, high=0.88, n=20)

    assert compare_metric(AUC, small_sample, run_id="r").verdict == "steady"


def test_repeated_runs_of_an_unchanged_model_raise_few_alarms() -> None:
    rng = np.random.default_rng(0)
    hits = rng.binomial(300, 0.8, (2000, 2))

    verdicts = [compare_metric(wilson(a, 300), wilson(b, 300), run_id="r").verdict for a, b in hits]

    assert verdicts.count("regressed") / 2000 < 0.035  # 2.5 % by construction, and the noise of 2,000 draws


def test_a_real_loss_is_nearly_always_seen() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.binomial(300, 0.8, 1000), rng.binomial(300, 0.65, 1000)

    verdicts = [
        compare_metric(wilson(a, 300), wilson(b, 300), run_id="r").verdict for a, b in zip(old, new, strict=True)
    ]

    assert verdicts.count("regressed") / 1000 > 0.95


def test_floating_point_noise_of_an_exact_metric_is_steady_but_a_small_real_change_is_not() -> None:
    exact = Metric("ppl", 21.3, 21.3, 21.3, 10, higher_is_better=False)

    def moved(value: float) -> Metric:
        return replace(exact, value=value, low=value, high=value)

    assert compare_metric(exact, moved(21.3 * (1 + 1e-9)), run_id="r").verdict == "steady"
    assert compare_metric(exact, moved(21.31), run_id="r").verdict == "regressed"


def test_a_bootstrap_interval_beside_its_value_does_not_break_the_rule() -> None:
    biased = replace(AUC, low=0.81, high=0.83)

    change = compare_metric(biased, replace(AUC, value=0.5, low=0.45, high=0.49), run_id="r")

    assert change.verdict == "regressed"


def test_a_metric_that_turned_round_is_not_compared() -> None:
    assert compare_metric(AUC, replace(AUC, higher_is_better=False), run_id="r").verdict == "incomparable"


def test_the_first_run_has_new_metrics_and_no_alarms() -> None:
    comparison = compare([_result(AUC)], {})

    assert comparison.suites[0].changes[0].verdict == "new"
    assert comparison.num_alarms == 0


def test_a_failed_suite_alarms_even_without_a_last_run() -> None:
    comparison = compare([_result(status="failed", reason="KeyError at x:1")], {})

    assert comparison.suites[0].losses == ("failed: KeyError at x:1",)
    assert comparison.num_alarms == 1


@pytest.mark.parametrize(("last_status", "alarms"), [("ok", 1), ("skipped", 0), ("failed", 0), (None, 0)])
def test_a_skipped_suite_alarms_only_if_it_gave_figures_last_time(last_status, alarms: int) -> None:
    before = _before(_result(AUC), last_status=last_status)

    assert compare([_result(status="skipped", reason="no data")], before).num_alarms == alarms


def test_a_suite_and_a_metric_that_are_gone_alarm() -> None:
    before = _before(_result(AUC, replace(AUC, name="ks")))

    assert compare([_result(AUC)], before).suites[0].losses == ("metric ks is no longer reported",)
    assert compare([], before).gone == (("finance", "scorecard"),)
    assert compare([], before).num_alarms == 1


def test_a_suite_that_already_was_gone_last_time_does_not_alarm_again() -> None:
    assert compare([], _before(_result(AUC), last_status=None)).num_alarms == 0


@pytest.mark.parametrize("part", ["dataset", "split", "scorer"])
def test_figures_on_other_data_are_not_compared_and_the_report_says_so(part: str) -> None:
    worse = _result(replace(AUC, value=0.5, low=0.45, high=0.55), **{part: "another"})

    comparison = compare([worse], _before(_result(AUC)))

    assert comparison.num_alarms == 0
    assert comparison.suites[0].note == f"Not compared with run run-1: {part} changed."
    assert comparison.suites[0].changes[0].verdict == "incomparable"


def test_another_solver_is_compared_since_it_is_what_is_judged() -> None:
    worse = _result(replace(AUC, value=0.5, low=0.45, high=0.55), solver="model 2")

    assert compare([worse], _before(_result(AUC))).num_alarms == 1
