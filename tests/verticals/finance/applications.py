"""Applications to test with: one that is valid, and a hypothesis strategy for any."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from verticals.finance import VERTICAL, schemas
from verticals.finance.data import FEATURES


def body(**changes: Any) -> dict[str, Any]:
    """A valid application as JSON, with changes."""
    examples = next(o for o in VERTICAL.operations if o.name == "score").examples
    return {**examples["strained"], **changes}


def applications(*, missing: bool = True) -> st.SearchStrategy[schemas.ScoreRequest]:
    """Any application that the schema accepts."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        f.name: st.sampled_from([*f.categories, None] if missing else f.categories) for f in FEATURES if f.categories
    }
    fields["duration_months"] = st.integers(1, 120)
    fields["credit_amount_dm"] = st.integers(100, 100_000)
    fields["age_years"] = st.integers(18, 120)
    return st.fixed_dictionaries(fields).map(schemas.ScoreRequest.model_validate)
