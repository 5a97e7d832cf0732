"""Suites are isolated from each other, and each says how it ended."""

from __future__ import annotations

import math

import pytest

from service.evals.runner import Journal, declare_suites, run_suite
from tests.service.evals.fake_bench import by_cases
from verticals.contract import Example, InvalidInput, Metric, Unavailable


def _quiet(what: str, share: float) -> None:
    del what, share


GOOD = Metric("auc", 0.8, 0.7, 0.9, 100)


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


def test_a_domain_whose_suites_cannot_be_declared_fails_alone(make_suite) -> None:
    def broken():
        raise ImportError("no such module")

    declared = {"support": declare_suites(broken), "core": declare_suites(lambda: [make_suite(GOOD)])}
    first, second = [run_suite(domain, suite, _quiet) for domain, suites in declared.items() for suite in suites]

    assert (first.domain, first.status) == ("support", "failed")
    assert "ImportError at " in str(first.reason)
    assert second.status == "ok"


def test_cases_are_kept_in_batches_and_known_ones_are_not_scored_again() -> None:
    scored: list[str] = []
    batches: list[list[str]] = []
    scores = {f"case {i}": float(i % 2) for i in range(20)}
    known = {f"case {i}": Example({"right": float(i % 2)}) for i in range(5)}
    journal = Journal(known, lambda batch: batches.append(list(batch)))

    result = run_suite("core", by_cases(scores, on_score=scored.append), _quiet, journal=journal)

    assert scored == [f"case {i}" for i in range(5, 20)]
    assert [len(batch) for batch in batches] == [8, 7]
    assert list(result.examples) == list(scores)
    assert result.metrics[0].value == 0.5


def test_what_an_example_shows_is_masked_before_anyone_keeps_it() -> None:
    kept: dict[str, Example] = {}
    suite = by_cases({"a": 1.0}, shown=lambda case_id: "write to jane.doe@example.org " + "x" * 5_000)

    result = run_suite("core", suite, _quiet, journal=Journal({}, kept.update))

    assert kept["a"].shown.startswith("write to [email 1] ")
    assert len(kept["a"].shown) <= 2_000
    assert result.examples["a"] == kept["a"]


def test_threads_score_the_same_as_one() -> None:
    scores = {f"case {i}": float(i % 3) for i in range(50)}

    one, many = (run_suite("core", by_cases(scores), _quiet, workers=workers) for workers in (1, 4))

    assert one.metrics == many.metrics
    assert list(one.examples.items()) == list(many.examples.items())


def test_a_suite_says_what_it_cost(make_suite) -> None:
    counted = iter((100, 350))

    cost = run_suite("core", make_suite(GOOD), _quiet, count_tokens=lambda: next(counted)).cost

    assert cost is not None
    assert cost.tokens == 250
    assert cost.cpu_s >= 0
    assert cost.peak_mb > 10


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"a": math.nan}, "score 'right': must be finite"),
        ({"x" * 201: 1.0}, r"case id: must have at most 200 characters (got 201)"),
    ],
)
def test_examples_that_no_database_keeps_fail_their_suite_alone(scores: dict[str, float], reason: str) -> None:
    result = run_suite("core", by_cases(scores), _quiet)

    assert result.status == "failed"
    assert reason in str(result.reason)


def test_text_that_a_database_refuses_is_kept_without_it() -> None:
    result = run_suite("core", by_cases({"a": 1.0}, shown=lambda case_id: "nul \0 and half a sign \ud800"), _quiet)

    assert result.examples["a"].shown == "nul \ufffd and half a sign ?"
