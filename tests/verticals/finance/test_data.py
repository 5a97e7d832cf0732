"""The development sample: whole, decoded, and without what must not be scored."""

from __future__ import annotations

from verticals.finance import schemas
from verticals.finance.data import ATTRIBUTES, EXCLUDED, FEATURES, load_german, load_raw


def test_the_sample_is_the_thousand_credits_with_three_hundred_bad() -> None:
    frame, default = load_german()

    assert frame.shape == (1000, len(FEATURES))
    assert default.sum() == 300
    assert frame["credit_amount_dm"].sum() == 3_271_258  # of UCI's german.data


def test_corrected_categories_are_in_credit_order() -> None:
    """With the labels of german.doc, no account would be the best account, and critical history the best history."""
    frame, default = load_german()

    rate = {f.name: [default[frame[f.name] == c].mean() for c in f.categories] for f in FEATURES}
    assert rate["checking_status"] == sorted(rate["checking_status"], reverse=True)
    assert rate["credit_history"] == sorted(rate["credit_history"], reverse=True)


def test_every_attribute_is_scored_or_excluded_with_a_reason() -> None:
    scored = {f.name for f in FEATURES}

    assert scored.isdisjoint(EXCLUDED)
    assert scored | set(EXCLUDED) | {"default"} == set(ATTRIBUTES)
    assert all(EXCLUDED.values())


def test_prohibited_attributes_are_not_even_asked_for() -> None:
    asked = set(schemas.ScoreRequest.model_fields)

    assert asked.isdisjoint({"personal_status_sex", "foreign_worker", "telephone"})
    assert asked == {f.name for f in FEATURES} | {"age_years", "application_id", "customer"}


def test_the_form_offers_exactly_the_categories_that_were_seen() -> None:
    raw = load_raw()

    for f in FEATURES:
        if f.codes:
            assert set(raw[f.name]) == set(f.codes)
            assert set(schemas.LABELS[f.name]) == set(f.categories)
    assert list(schemas.FEATURE_LABELS) == [f.name for f in FEATURES]
