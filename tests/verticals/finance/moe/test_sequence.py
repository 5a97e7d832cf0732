"""The sequence term learns an order that columns cannot tell, within its bound."""

from __future__ import annotations

import numpy as np
import pandas as pd

from verticals.finance.metrics import auc
from verticals.finance.moe.bins import infer_fields
from verticals.finance.moe.network import Size
from verticals.finance.moe.sequence import SequenceRecipe, fit_with_sequence


def test_risk_that_lies_in_the_order_is_found_by_the_bounded_term() -> None:
    rng = np.random.default_rng(0)
    step_NLC = rng.random((600, 5, 1), dtype=np.float32)
    rises_N = (np.diff(step_NLC[:, :, 0], axis=1) > 0).sum(axis=1)
    default = (rng.random(600) < 1 / (1 + np.exp(-3 * (rises_N - 2)))).astype(int)
    frame = pd.DataFrame({"nothing": rng.random(600)})
    recipe = SequenceRecipe(size=Size(dim=16), bound=2.0, num_epochs=40, batch_size=100, dropout=0.0)

    member = fit_with_sequence(frame, step_NLC, default, fields=infer_fields(frame), recipe=recipe, seed=0)

    table_N, term_N = member.parts(frame, step_NLC)
    assert float(term_N.abs().max()) <= 2.0
    assert auc(default.astype(float), (table_N + term_N).double().numpy()) > 0.7
