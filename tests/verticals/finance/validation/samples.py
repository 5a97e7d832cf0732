"""Scored samples to test with, from a known world: the logit is right, unless told otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from verticals.finance.scaling import Scaling, prob_default
from verticals.finance.validation.sample import ScoredSample


def sample(
    n: int = 2000,
    *,
    seed: int = 0,
    shift: float = 0.0,
    months: int = 0,
    told: float = 0.0,
    slope: float = 1.0,
    groups: dict[str, Any] | None = None,
) -> ScoredSample:
    """n applicants. `shift`: of the population; `told`: added to the predicted logit; `slope`: times the true one."""
    rng = np.random.default_rng(seed)
    income, kind = rng.normal(shift, 1, n), rng.choice(["a", "b"], n)
    logit = -1.2 - 1.1 * income + 0.4 * (kind == "a")
    prob = prob_default(told + slope * logit)
    return ScoredSample(
        prob_default=prob,
        points=np.rint(Scaling().points(np.log(prob / (1 - prob)))),
        default=(rng.random(n) < prob_default(logit)).astype(float),
        features=pd.DataFrame({"income": income, "kind": kind}),
        month=np.sort(rng.integers(600, 600 + months, n)) if months else None,
        groups=groups or {},
    )
