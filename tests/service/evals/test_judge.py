"""Changes are judged in pairs where that can be done, and corrected for how many are judged."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from service.evals.compare import OtherRun, Previous, compare
from service.evals.judge import compare_metric, correct, moved_examples, sign_flip_p
from service.evals.runner import SuiteResult
from verticals.contract import Example, Metric
from verticals.scores import mean_metric


def examples(outcomes: list[float], name: str = "right") -> dict[str, Example]:
    return {f"case {i}": Example({name: outcome}) for i, outcome in enumerate(outcomes)}


def result(outcomes: list[float], **changed) -> SuiteResult:
    scored = examples(outcomes)
    metrics = (mean_metric("right", scored),)
    made = SuiteResult("support", "answers", "d", "s", "m", "x", "ok", None, 1.0, metrics, scored)
    return replace(made, **changed)


def before(old: SuiteResult) -> dict[tuple[str, str], Previous]:
    return {old.key: Previous("ok", "r1", old, "r1")}


def test_mcnemars_p_is_the_binomial_tail_of_the_discordant_pairs() -> None:
    changes = np.array([-1.0] * 9 + [1.0] * 2 + [0.0] * 300)

    exact = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11

    assert sign_flip_p(changes) == pytest.approx(exact)


def test_sign_flips_agree_with_counting_all_signs() -> None:
    changes = np.array([0.3, 0.1, -0.05, 0.2, 0.4, 0.25])
    signs = np.array(np.meshgrid(*[(-1, 1)] * 6)).reshape(6, -1).T
    exact = float((np.abs(signs @ changes) >= abs(changes.sum()) - 1e-12).mean())

    assert sign_flip_p(changes) == pytest.approx(exact, abs=0.01)


def test_a_steady_loss_too_small_for_two_intervals_is_seen_in_pairs() -> None:
    old = [1.0] * 180 + [0.0] * 20
    new = [0.0] * 8 + old[8:]

    (change,) = compare([result(new)], before(result(old))).suites[0].changes
    unpaired = compare_metric(result(old).metrics[0], result(new).metrics[0], run_id="r")

    assert (change.verdict, change.since("last").num_pairs) == ("regressed", 200)
    assert (unpaired.verdict, unpaired.num_pairs) == ("steady", None)


def test_one_example_that_turned_is_told_and_is_no_alarm() -> None:
    old, new = result([1.0] * 50), result([0.0] + [1.0] * 49)

    comparison = compare([new], before(old))

    assert comparison.num_alarms == 0
    assert moved_examples(old.examples, new.examples, new.metrics) == [("case 0", -1.0)]


def test_runs_over_other_examples_are_not_paired() -> None:
    old, new = result([1.0] * 50), result([1.0] * 49)

    (change,) = compare([new], before(old)).suites[0].changes

    assert change.since("last").num_pairs is None


def test_a_metric_that_is_not_its_examples_mean_is_not_paired() -> None:
    old, new = result([1.0, 0.0] * 20), result([1.0, 0.0] * 20)
    median = replace(new, metrics=(replace(new.metrics[0], value=0.7, high=0.9),))

    (change,) = compare([median], before(old)).suites[0].changes

    assert change.since("last").num_pairs is None


def test_q_is_that_of_benjamini_and_hochberg() -> None:
    assert correct([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert correct([]) == []


def test_among_many_metrics_chance_alone_raises_no_alarm_and_a_real_loss_does() -> None:
    rng = np.random.default_rng(0)
    half = 0.03

    def metrics(worse: float) -> tuple[Metric, ...]:
        noisy = [float(0.8 + rng.normal(0, half / 1.96 / 2)) for _ in range(60)]
        noisy[0] -= worse
        return tuple(Metric(f"m{i}", v, v - half, v + half, 500) for i, v in enumerate(noisy))

    old = result([1.0], metrics=metrics(0.0), examples={})
    same = compare([replace(old, metrics=metrics(0.0))], before(old))
    worse = compare([replace(old, metrics=metrics(0.2))], before(old))

    assert same.num_alarms == 0
    assert [change.metric.name for change in worse.suites[0].changes if change.verdict == "regressed"] == ["m0"]
    assert worse.families == {"last": 60}


def test_a_slow_slide_is_seen_against_the_baseline_and_last_week_raises_no_alarm() -> None:
    then, yesterday, now = (result([1.0] * n + [0.0] * (200 - n)) for n in (190, 163, 160))
    others = {"week": OtherRun("r-week", {then.key: then}), "baseline": OtherRun("r0", {then.key: then})}

    alone = compare([now], before(yesterday), {"week": others["week"]})
    pinned = compare([now], before(yesterday), others)

    assert alone.num_alarms == 0
    assert alone.suites[0].changes[0].since("week").verdict == "regressed"
    assert pinned.suites[0].changes[0].verdict == "regressed"
    assert pinned.suites[0].changes[0].since("baseline").run_id == "r0"
