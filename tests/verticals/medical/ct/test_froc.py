"""FROC figures equal what is counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.medical.ct import froc


def test_marks_hit_within_the_radius_and_a_second_hit_counts_for_nothing() -> None:
    marks = np.array([[0.0, 0, 0], [2.9, 0, 0], [0, 3.1, 0], [50, 0, 0]])

    scan = froc.match(marks, np.array([0.4, 0.9, 0.8, 0.1]), np.array([[0.0, 0, 0], [9, 9, 9]]), np.array([6.0, 4.0]))

    assert scan.hit_scores.tolist() == [0.9, -np.inf]
    assert scan.false_scores.tolist() == [0.8, 0.1]


def test_sensitivity_at_each_rate_is_what_one_counts() -> None:
    # 8 scans: at 1/8 one false positive is allowed, at 1/4 two, at 1/2 four.
    scans = [froc.ScanMarks(np.array([0.1 * (i + 1)]), np.array([0.75 - 0.1 * i]), np.array([5.0])) for i in range(8)]

    found = froc.sensitivities(scans)

    assert found.tolist() == pytest.approx([1 / 8, 2 / 8, 4 / 8, 1, 1, 1, 1])
    assert froc.cpm(scans) == pytest.approx(found.mean())


def test_scans_without_nodules_only_add_false_positives_and_sizes_choose_nodules() -> None:
    empty = froc.match(np.zeros((1, 3)), np.ones(1), np.zeros((0, 3)), np.zeros(0))
    scan = froc.ScanMarks(np.zeros(0), np.array([0.5, 0.6]), np.array([3.0, 9.0]))

    assert (empty.false_scores.tolist(), empty.hit_scores.size) == ([1.0], 0)
    assert np.isnan(froc.sensitivities([empty])).all()
    assert [one.hit_scores.tolist() for one in froc.of_size([scan, empty], 6, 20)] == [[0.6], []]


def test_the_interval_holds_the_figure_and_narrows_with_scans() -> None:
    draw = np.random.default_rng(0)
    scans = [froc.ScanMarks(draw.random(3), draw.random(2), np.full(2, 5.0)) for _ in range(40)]

    value, low, high = froc.with_interval(scans, froc.cpm, draws=100)
    _, few_low, few_high = froc.with_interval(scans[:6], froc.cpm, draws=100)

    assert low <= value <= high
    assert high - low < few_high - few_low
