"""What a check of each simulated customer's identity document found. SYNTHETIC; ignores images, the account and words.

A row holds the features that `documents.mismatch.examine` gives. Three of four blemishes go with risk, each by its
term; a poor photograph goes with none, so low confidence alone must not count.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.finance.documents.mismatch import FEATURES

BLEMISHES: Mapping[str, tuple[float, float]] = {
    "name": (0.06, 1.2),  # the stated name is another
    "expired": (0.05, 0.7),
    "zones": (0.05, 1.3),  # the document contradicts itself
    "photo": (0.08, 0.0),
}
"""Blemish -> (share of the customers, its part of the log odds of default); a customer has one at most."""


def draw_documents(num_customers: int, *, seed: int) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """(features, a row each, NaN for None; the document's part of the log odds, (C,)); its own stream of numbers."""
    rng = np.random.default_rng([seed, 3])
    n = num_customers
    shares = [share for share, _ in BLEMISHES.values()]
    blemish = rng.choice(["", *BLEMISHES], n, p=[1 - sum(shares), *shares])
    name, expired, zones, photo = (blemish == kind for kind in BLEMISHES)
    whole_name = np.where(rng.random(n) < 0.15, 0.9, 1.0)
    days = np.where(expired, -rng.integers(1, 900, n), rng.integers(5, 3500, n)).astype(float)
    drawn = {
        "name_agreement": np.where(name, rng.uniform(0.2, 0.7, n), whole_name),
        "birth_date_agreement": np.where(name & (rng.random(n) < 0.4), 0.0, 1.0),
        "number_agreement": np.where(zones & (rng.random(n) < 0.3), 0.0, 1.0),
        "expired": expired.astype(float),
        "days_to_expiry": days,
        "zone_missing": np.where(photo, rng.random(n) < 0.4, 0.0),
        "zone_checks_held": np.where(zones, rng.uniform(0.4, 0.85, n), 1.0),
        "zones_differ": np.where(zones & (rng.random(n) < 0.7), rng.uniform(0.15, 0.6, n), 0.0),
        "citizen_number_invalid": np.full(n, np.nan),
        "date_in_future": np.zeros(n),
        "fields_missing": np.where(photo, rng.uniform(0.1, 0.5, n), 0.0),
        "least_confidence": np.where(photo | zones, rng.uniform(0.3, 0.7, n), rng.uniform(0.9, 0.99, n)),
    }
    found = pd.DataFrame({feature: drawn[feature] for feature in FEATURES})
    found.loc[found["zone_missing"] == 1, ["zone_checks_held", "zones_differ"]] = np.nan
    terms = {kind: term for kind, (_, term) in BLEMISHES.items()} | {"": 0.0}
    return found, np.array([terms[str(kind)] for kind in blemish])
