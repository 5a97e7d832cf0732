"""Bins hold every value once, missing ones in a bin of their own."""

from __future__ import annotations

import pandas as pd
import pytest

from verticals.finance.moe.bins import Field, bin_of, fit_bins, infer_fields, token_index, token_offsets, union


def test_numbers_fall_into_bins_with_equal_shares() -> None:
    values = pd.Series(range(100))

    binned = fit_bins(Field("x", "numeric"), values, num_bins=4, rare_share=0.0)

    assert binned.cuts == (25.0, 50.0, 75.0)
    assert [int((binned.index(values) == i).sum()) for i in range(4)] == [25, 25, 25, 25]


def test_a_missing_or_unseen_value_has_the_last_place() -> None:
    numbers = fit_bins(Field("x", "numeric"), pd.Series([1.0, 2.0, None]), num_bins=4, rare_share=0.0)
    words = fit_bins(Field("y", "nominal"), pd.Series(["a", "b", None]), num_bins=4, rare_share=0.0)

    assert numbers.index(pd.Series([None, 1.0])).tolist() == [numbers.num_bins, 0]
    assert words.index(pd.Series(["never seen", None, "b"])).tolist() == [2, 2, 1]


def test_rare_categories_share_a_bin_and_ordered_ones_keep_their_order() -> None:
    values = pd.Series(["a"] * 50 + ["b"] * 48 + ["c", "d"])

    nominal = fit_bins(Field("x", "nominal"), values, num_bins=4, rare_share=0.05)
    ordered = fit_bins(Field("x", "ordered", ("d", "c", "b", "a")), values, num_bins=4, rare_share=0.05)

    assert nominal.groups == (("a",), ("b",), ("c", "d"))
    assert ordered.groups == (("d",), ("c",), ("b",), ("a",))


def test_whole_numbers_get_whole_cuts_and_no_bin_is_empty() -> None:
    values = pd.Series([1] * 60 + [2, 3, 4, 9] * 10)

    binned = fit_bins(Field("x", "numeric"), values, num_bins=3, rare_share=0.0)

    assert all(cut == int(cut) for cut in binned.cuts)
    assert set(binned.index(values)) == set(range(binned.num_bins))


def test_each_bin_of_a_union_lies_within_one_bin_of_every_member() -> None:
    values = pd.Series(range(60))
    members = [fit_bins(Field("x", "numeric"), values, num_bins=n, rare_share=0.0) for n in (3, 4)]

    merged = union(members)

    for member in members:
        found = [bin_of(member, shape) for shape in merged.shapes()]
        assert [found[i] for i in merged.index(values)] == member.index(values).tolist()


def test_tokens_of_different_fields_never_meet() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, None], "y": ["a", "b", "a"]})
    binned = [fit_bins(f, frame[f.name], num_bins=4, rare_share=0.0) for f in infer_fields(frame)]

    token_NF, offsets = token_index(binned, frame), token_offsets(binned)

    assert token_NF[:, 0].max() < offsets[1] <= token_NF[:, 1].min()
    assert offsets[-1] == 3 + 3


def test_a_constraint_must_name_a_column_that_has_an_order() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})

    with pytest.raises(ValueError, match=r"must name columns \(got z\)"):
        infer_fields(frame, monotone={"z": 1})
    with pytest.raises(ValueError, match="must be 1 or -1 and for a numeric or ordered column"):
        infer_fields(frame, monotone={"y": 1})
