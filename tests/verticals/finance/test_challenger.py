"""The challenger: deterministic, monotone, one row as many."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verticals.finance.applications import applications
from verticals.finance import schemas
from verticals.finance.challenger import Challenger, fit_challenger
from verticals.finance.data import FEATURES, load_german
from verticals.finance.scoring import Models


def columns_of(rows: list[schemas.ScoreRequest]) -> dict[str, list[object]]:
    return {f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}


def test_training_twice_gives_the_same_bytes() -> None:
    frame, default = load_german()

    assert fit_challenger(frame, default) == fit_challenger(frame, default)


def test_the_stored_text_scores_as_the_trained_model() -> None:
    frame, default = load_german()
    text = fit_challenger(frame, default)

    again = Challenger(text).predict(frame)
    assert np.array_equal(again, Challenger(text).predict(frame))
    assert 0.25 < again.mean() < 0.35
    assert again[default == 1].mean() > again[default == 0].mean() + 0.2


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(applications(), min_size=1, max_size=20))
def test_a_row_alone_scores_as_in_a_table_and_a_longer_term_is_no_safer(
    models: Models, rows: list[schemas.ScoreRequest]
) -> None:
    assert models.challenger is not None
    together = models.challenger.predict(columns_of(rows))
    longer = models.challenger.predict(columns_of([r.model_copy(update={"duration_months": 120}) for r in rows]))

    assert together.tolist() == [models.challenger.predict(columns_of([r]))[0] for r in rows]
    assert (longer >= together - 1e-12).all()
