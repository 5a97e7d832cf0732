"""Any table of fields as indicators, and a ridge logistic regression on them: the model of reject inference.

Plain on purpose: what is compared are methods, on one model that nobody tuned. Shapes: N applicants, D indicators.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from verticals.finance.validation.reject_inference import Predict
from verticals.finance.validation.sample import Array


def to_indicators(frame: pd.DataFrame) -> Array:
    """One column a tenth of each number or a category, (N, D); a missing value is one more. Labels are not used."""
    columns = []
    for name in map(str, frame):
        values = frame[name]
        if pd.api.types.is_numeric_dtype(values):
            known = values.dropna() if values.notna().any() else pd.Series([0.0])
            edges = np.unique(np.quantile(known, np.linspace(0, 1, 11)[1:-1]))
            values = pd.Series(np.searchsorted(edges, values), name=name).where(values.notna(), -1)
        columns.append(pd.get_dummies(values.astype(str), prefix=name, dtype=float))
    return np.asarray(pd.concat([c.reset_index(drop=True) for c in columns], axis=1))


def fit_logistic(rows: Array, default: Array, weight: Array) -> Predict:
    """Ridge logistic regression."""
    model = LogisticRegression(C=1.0, solver="newton-cholesky").fit(rows, default, sample_weight=weight)
    return lambda X: np.asarray(model.predict_proba(X)[:, 1])
