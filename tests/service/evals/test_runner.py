"""Suites are isolated from each other, and each says how it ended."""

from __future__ import annotations

import math

import pytest

from service.evals.runner import declare_suites, run_suite, run_suites
from verticals.contract import InvalidInput, Metric, Suite, Unavailable


def _quiet(what: str, share: float) -> None:
    del what, share


GOOD = Metric("auc", 0.8, 0.7, 0.9, 100)


def test_a_suite_that_raises_fails_and_the_next_one_still_runs(make_suite) -> None:
    broken, fine = make_suite(error=KeyError("Jane Doe"), name="broken"), make_suite(GOOD, name="fine")

    first, second = run_suites([("finance", broken), ("finance", fine)], _quiet)

    assert (first.status, first.metrics) == ("failed", ())
    assert (second.status, second.metrics) == ("ok", (GOOD,))


def test_the_reason_of_a_crash_gives_type_and_place_and_not_the_data_in_its_message(make_suite) -> None:
    result = run_suite("finance", make_suite(error=KeyError("Jane Doe")), _quiet)

    assert result.reason is not None
    assert result.reason.startswith("KeyError at ")
    assert "(run)" in result.reason
    assert "Jane" not in result.reason


def test_our_own_errors_give_their_full_reason(make_suite) -> None:
    result = run_suite("finance", make_suite(error=InvalidInput("must be positive", field="amount")), _quiet)

    assert result.reason == "amount: must be positive."


def test_a_suite_without_its_data_is_skipped_with_the_remedy(make_suite) -> None:
    error = Unavailable("is not mounted", field="TRIVIUM_DATA", remedy="Point it at the data.")

    result = run_suite("medical", make_suite(error=error), _quiet)

    assert (result.status, result.reason) == ("skipped", "TRIVIUM_DATA: is not mounted. Point it at the data.")


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ((), "returned no metrics"),
        ((GOOD, GOOD), "Two metrics are named 'auc'"),
        ((Metric("auc", math.nan, 0, 1, 9),), "'auc' is not finite"),
        ((Metric("auc", 0.5, 0, math.inf, 9),), "'auc' is not finite"),
        ((Metric("auc", 0.5, 0, 1, 9, baseline_value=math.nan),), "'auc' is not finite"),
        ((Metric("auc", 0.5, 0.6, 0.4, 9),), "runs backwards"),
    ],
)
def test_figures_that_cannot_be_compared_fail_the_suite(make_suite, metrics, reason: str) -> None:
    result = run_suite("finance", make_suite(*metrics), _quiet)

    assert (result.status, result.metrics) == ("failed", ())
    assert reason in str(result.reason)


def test_an_interrupt_is_not_swallowed(make_suite) -> None:
    with pytest.raises(KeyboardInterrupt, match="ctrl-c"):
        run_suite("finance", make_suite(error=KeyboardInterrupt("ctrl-c")), _quiet)


def test_progress_rises_over_the_whole_run_whatever_a_suite_reports(make_suite) -> None:
    seen: list[tuple[str, float]] = []

    def overshoot(progress):
        progress("scoring", 7.0)
        return (GOOD,)

    wild = Suite("wild", "d", "s", "m", "x", overshoot)
    run_suites([("core", make_suite(GOOD)), ("core", wild)], lambda what, share: seen.append((what, share)))

    shares = [share for _, share in seen]
    assert ("core/scorecard: scoring", 0.25) in seen
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_each_result_is_handed_over_before_the_next_suite_starts(make_suite) -> None:
    events: list[str] = []

    def late(progress):
        events.append("second runs")
        return (GOOD,)

    run_suites(
        [("core", make_suite(GOOD, name="first")), ("core", Suite("second", "d", "s", "m", "x", late))],
        _quiet,
        lambda result: events.append(f"{result.name} stored"),
    )

    assert events == ["first stored", "second runs", "second stored"]


def test_a_domain_whose_suites_cannot_be_declared_fails_alone(make_suite) -> None:
    def broken():
        raise ImportError("no such module")

    suites = declare_suites("support", broken) + declare_suites("core", lambda: [make_suite(GOOD)])
    first, second = run_suites(suites, _quiet)

    assert (first.domain, first.status) == ("support", "failed")
    assert "ImportError at " in str(first.reason)
    assert second.status == "ok"
