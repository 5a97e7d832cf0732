"""Rules are data: a bad one is named, and what is normal is learned without being led astray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.operations.rules import Ewma, Limits, Median, read_rules
from service.operations.signals import SIGNALS
from verticals.contract import InvalidInput

RULE = {
    **{"name": "slow", "signal": "latency_p95_s", "side": "above", "severity": "warning", "for_s": 60, "min_weight": 0},
    "threshold": {"kind": "fixed", "on": 2, "off": 1},
}
ABOUT_ONE = [(float(t), 1 + 0.1 * (t % 3)) for t in range(60)]  # 1.0, 1.1, 1.2, again and again


def test_the_shipped_rules_are_in_order() -> None:
    rules = {rule.name: rule for rule in read_rules(None, signals=tuple(SIGNALS))}

    assert (rules["uneven-experts"].threshold.on, rules["uneven-experts"].threshold.off) == (0.15, 0.12)
    assert rules["uneven-experts"].action == "rebalance"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": "latency"}, "signal must be one of .*latency_p95_s.*got 'latency'"),
        ({"threshold": {"kind": "fixed", "on": 1, "off": 2}}, "off must not lie beyond on"),
        ({"side": "below"}, "off must not lie beyond on"),
        ({"threshold": {"kind": "median", "on": 3}}, "0.threshold.median"),
        ({"colour": "red"}, "0.colour: is not known here"),
        ({"action": "shell"}, "0.action: must be one of 'rebalance'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_bad_rule_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "rules.json").write_text(json.dumps([RULE | change]))

    with pytest.raises(InvalidInput, match=message):
        read_rules(tmp_path / "rules.json", signals=tuple(SIGNALS))


@pytest.mark.parametrize("text", ["no json", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    if text:
        (tmp_path / "rules.json").write_text(text)

    with pytest.raises(InvalidInput, match="TRIVIUM_ALARM_RULES: cannot be read"):
        read_rules(tmp_path / "rules.json", signals=tuple(SIGNALS))


def test_two_rules_of_a_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(json.dumps([RULE, RULE]))

    with pytest.raises(InvalidInput, match="rules need different names"):
        read_rules(tmp_path / "rules.json", signals=tuple(SIGNALS))


def test_a_median_threshold_stands_so_many_deviations_off_and_ignores_outliers() -> None:
    median = Median(kind="median", window_s=100, on=4, off=2, min_samples=10, least=0.01)
    spoilt = [*ABOUT_ONE, (60.0, 1000.0), (61.0, 1000.0)]

    limits = median.limits(ABOUT_ONE, sign=1)

    assert limits == pytest.approx((1.1 + 4 * 1.4826 * 0.1, 1.1 + 2 * 1.4826 * 0.1))
    assert median.limits(spoilt, sign=1) == pytest.approx(limits)


def test_a_steady_signal_needs_the_least_distance_that_matters() -> None:
    median = Median(kind="median", window_s=100, on=4, off=1, min_samples=10, least=0.5)

    assert median.limits([(float(t), 2.0) for t in range(20)], sign=1) == (2.5, 2.125)
    assert median.limits([(float(t), 2.0) for t in range(20)], sign=-1) == (1.5, 1.875)


def test_an_ewma_threshold_follows_a_level_that_moves() -> None:
    ewma = Ewma(kind="ewma", half_life_s=10, on=3, off=1, min_samples=10, least=0.1)
    rng = np.random.default_rng(0)
    moved = [(float(t), float(rng.normal(1 if t < 100 else 5, 0.1))) for t in range(200)]

    limits = ewma.limits(moved, sign=1)

    assert isinstance(limits, Limits)
    assert 5.1 < limits.off < limits.on < 5.6


def test_nothing_is_judged_before_it_is_known_what_is_normal() -> None:
    assert Median(kind="median", window_s=9, on=4, off=1, min_samples=10, least=1).limits(ABOUT_ONE[:9], sign=1) is None
    assert Ewma(kind="ewma", half_life_s=9, on=4, off=1, min_samples=10, least=1).limits([], sign=1) is None
