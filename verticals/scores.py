"""A metric that is the mean of its examples' scores, with its interval. Ignores other statistics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from verticals.bootstrap import bootstrap_interval, wilson_interval
from verticals.contract import Example, Metric


def mean_metric(
    name: str,
    examples: Mapping[str, Example],
    *,
    higher_is_better: bool = True,
    baseline: str | None = None,
    baseline_value: float | None = None,
) -> Metric:
    """The mean of `scores[name]` over the examples that have it: Wilson's interval of a rate, else a bootstrap.

    Raises:
        ValueError: no example has that score.
    """
    scores = [example.scores[name] for example in examples.values() if name in example.scores]
    if not scores:
        raise ValueError(f"examples: none has a score {name!r}.")
    is_rate = set(scores) <= {0.0, 1.0}
    low, high = wilson_interval(round(sum(scores)), len(scores)) if is_rate else bootstrap_interval(scores)
    return Metric(
        name=name,
        value=float(np.mean(scores)),
        low=low,
        high=high,
        n=len(scores),
        higher_is_better=higher_is_better,
        baseline=baseline,
        baseline_value=baseline_value,
    )
