"""Discrimination: intervals that hold what they should, and tests that find what is there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.verticals.finance.validation.samples import sample
from verticals.finance import metrics
from verticals.finance.validation import discrimination
from verticals.finance.validation.sample import month_label, split_by_time


def binormal(rng: np.random.Generator, n: int, separation: float) -> tuple[np.ndarray, np.ndarray]:
    default = (rng.random(n) < 0.3).astype(float)
    return default, rng.normal(separation * default)


def test_the_interval_of_the_auc_covers_the_truth_nineteen_times_in_twenty() -> None:
    rng, truth = np.random.default_rng(1), stats.norm.cdf(1 / np.sqrt(2))
    found = [discrimination.auc(*binormal(rng, 300, 1.0)) for _ in range(600)]

    assert np.mean([f.low <= truth <= f.high for f in found]) == pytest.approx(0.95, abs=0.025)
    assert all(0 < f.low < f.value < f.high < 1 for f in found)


def test_the_interval_of_ks_covers_the_truth() -> None:
    rng, truth = np.random.default_rng(2), 2 * stats.norm.cdf(0.5) - 1  # of two unit normals one apart
    found = [discrimination.ks(*binormal(rng, 400, 1.0), seed=i) for i in range(80)]

    assert 0.88 <= np.mean([f.low <= truth <= f.high for f in found]) <= 1.0
    assert found[0].value == metrics.ks(*binormal(np.random.default_rng(2), 400, 1.0))


def test_gini_is_the_auc_stretched() -> None:
    default, score = binormal(np.random.default_rng(3), 300, 1.0)
    auc, gini = discrimination.auc(default, score), discrimination.gini(default, score)

    assert (gini.value, gini.low, gini.high) == (2 * auc.value - 1, 2 * auc.low - 1, 2 * auc.high - 1)


def test_a_perfect_score_has_a_value_and_no_interval() -> None:
    found = discrimination.auc(np.array([0.0, 0, 1, 1]), np.array([1.0, 2, 3, 4]))

    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_a_fallen_auc_is_found_and_an_equal_one_is_not() -> None:
    before, same, worse = sample(4000, seed=1), sample(4000, seed=2), sample(4000, seed=3)
    rng = np.random.default_rng(4)
    worse = type(worse)(**(worse.__dict__ | {"prob_default": rng.permutation(worse.prob_default)}))

    assert discrimination.fall(before, same).confidence < 0.95
    assert discrimination.fall(before, worse).confidence > 0.999
    assert discrimination.fall(before, same).value == pytest.approx(
        metrics.auc(before.default, before.prob_default) - metrics.auc(same.default, same.prob_default)
    )


def test_vintages_are_whole_months_and_cover_everyone() -> None:
    s = sample(1000, months=5)
    parts = discrimination.vintages(s)

    assert [v.label for v in parts] == ["2020-01", "2020-02", "2020-03", "2020-04", "2020-05"]
    assert sum(len(v.sample) for v in parts) == 1000
    assert discrimination.vintages(sample(100)) == []


def test_cochrans_q_is_small_for_one_world_and_large_for_two() -> None:
    same = discrimination.vintages(sample(6000, months=4, seed=5))
    q, freedom, confidence = discrimination.heterogeneity(same)
    mixed = [*same[:3], discrimination.Vintage("x", sample(1500, seed=6, slope=-1))]

    assert freedom == 3
    assert q == pytest.approx(stats.chi2.ppf(confidence, 3))
    assert confidence < 0.95
    assert discrimination.heterogeneity(mixed)[2] > 0.999
    assert np.isnan(discrimination.heterogeneity(same[:1])[0])


def test_out_of_time_is_the_last_whole_months_and_never_cuts_one() -> None:
    s = sample(1000, months=12)
    pair = split_by_time(s)
    assert pair is not None
    earlier, later = pair

    assert earlier.month is not None
    assert later.month is not None
    assert earlier.month.max() < later.month.min()
    assert len(later) / 1000 <= 0.25
    assert len(earlier) + len(later) == 1000
    assert split_by_time(sample(100, months=1)) is None
    assert split_by_time(sample(100)) is None


def test_one_heavy_last_month_is_still_held_out() -> None:
    s = sample(100, months=2)
    pair = split_by_time(s, share=0.01)

    assert pair is not None
    assert pair[1].month is not None
    assert {month_label(int(m)) for m in pair[1].month} == {"2020-02"}
