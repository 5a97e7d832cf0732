"""What a source says, as one row of numbers: the input of its head. Ignores weights and storage.

A history is its feature view and its vector, both as of its last event, so that an old history says what it said when
it was new; a text is its embedding; a document is the features of its check. NaN: not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from verticals.finance.documents.mismatch import FEATURES as DOCUMENT_FEATURES
from verticals.finance.histories.view import FEATURES as VIEW_FEATURES

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
VIEW = tuple(f.name for f in VIEW_FEATURES)
DOCUMENT = tuple(DOCUMENT_FEATURES)
VECTOR = "vector_"  # inputs whose name begins so are coordinates of a vector: none means anything by itself


def history_names(dim: int) -> tuple[str, ...]:
    """The inputs of a history with a vector of `dim`."""
    return (*VIEW, *(f"{VECTOR}{i}" for i in range(dim)))


def text_names(dim: int) -> tuple[str, ...]:
    """The inputs of a text."""
    return tuple(f"{VECTOR}{i}" for i in range(dim))


def history_input(view: Mapping[str, float | None], vector_D: NDArray[np.float32]) -> Array:
    """One history."""
    return np.concatenate([numbers_of(view, VIEW), vector_D.astype(np.float64)])


def document_input(features: Mapping[str, float | None]) -> Array:
    """One document."""
    return numbers_of(features, DOCUMENT)


def numbers_of(values: Mapping[str, float | None], names: Sequence[str]) -> Array:
    """Values by name as a row; NaN for None."""
    return np.array([np.nan if (v := values.get(name)) is None else float(v) for name in names])


def view_at_last_event(events: pd.DataFrame, customers: Sequence[str]) -> pd.DataFrame:
    """The feature view of each customer as of his own last event, a row each in their order.

    Args:
        events: As `histories.events.event_table` gives it.
    """
    from verticals.finance.histories.view_frame import features_of

    last_s = events.groupby("customer")["at_s"].transform("max")
    end_s = int(events["at_s"].max()) if len(events) else 0
    return features_of(events.assign(at_s=events["at_s"] + (end_s - last_s)), as_of_s=end_s, customers=customers)
