"""The prior lets fields that tell something go, and holds those of noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from verticals.finance.moe.bins import BinnedField, fit_bins, infer_fields
from verticals.finance.moe.fit import Recipe
from verticals.finance.moe.prior import Prior, fit_prior

TELLING, NOISE, WORD = 0, 1, 2


def fitted(*, num_rows: int, intercept: float, num_prior_effects: float) -> Prior:
    """On two numbers of which the first tells, and a word that tells nothing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=num_rows), "noise": rng.normal(size=num_rows)})
    frame["word"] = rng.choice(list("abcdef"), num_rows)
    default = (rng.random(num_rows) < 1 / (1 + np.exp(-intercept - 1.5 * frame["x"]))).to_numpy().astype(float)
    fields = infer_fields(frame)
    binned: list[BinnedField] = [fit_bins(f, frame[f.name], num_bins=8, rare_share=0.0) for f in fields]
    start = Recipe().start(fields)
    return fit_prior(binned, frame, default, start=start, num_prior_effects=num_prior_effects)


def test_a_field_of_noise_is_held_more_than_one_that_tells() -> None:
    prior = fitted(num_rows=2000, intercept=-1.0, num_prior_effects=0.1)

    assert prior.ridge_F[NOISE] > 10 * prior.ridge_F[TELLING]
    assert prior.ridge_F[WORD] > 10 * prior.ridge_F[TELLING]


def test_only_a_field_with_an_order_has_a_prior_on_its_bends() -> None:
    prior = fitted(num_rows=500, intercept=-1.0, num_prior_effects=2.0)

    assert prior.smooth_F[WORD] == 0
    assert (prior.smooth_F[[TELLING, NOISE]] > 0).all()


def test_fields_that_share_more_are_held_more_alike() -> None:
    alone = fitted(num_rows=1000, intercept=-1.0, num_prior_effects=0.1).ridge_F
    together = fitted(num_rows=1000, intercept=-1.0, num_prior_effects=50.0).ridge_F

    assert np.ptp(np.log(together)) < np.ptp(np.log(alone))
