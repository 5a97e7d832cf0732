"""Terms stay within their bound, an absent source adds exactly nothing, and files bring back the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verticals.finance.sources.small_models import head, small_model
from verticals.contract import Unavailable
from verticals.finance.documents.mismatch import RULES
from verticals.finance.sources.inputs import DOCUMENT, VIEW, document_input, history_input
from verticals.finance.sources.model import ABOUT, FARTHEST, SourceModel, from_files, to_files
from verticals.finance.sources.names import SOURCES


def written(folder: Path, model: SourceModel) -> dict[str, Path]:
    for name, content in to_files(model).items():
        (folder / name).write_bytes(content)
    return {path.name: path for path in folder.iterdir()}


@given(x=st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), min_size=12, max_size=12))
def test_a_term_stays_within_its_bound_whatever_the_input(x: list[float]) -> None:
    model = small_model()
    [one] = model.heads["document"]
    bounded = one.bounded(np.array(x))
    found = model.terms({"document": bounded})

    assert abs(bounded) <= one.bound
    assert abs(found["document"]) <= one.bound


def test_a_missing_source_has_no_term_and_the_gate_knows_which_are_there() -> None:
    model = small_model()

    assert model.terms({}) == {}
    assert model.terms({"text": 1.0}) == {"text": 0.8}
    assert model.terms({"text": 1.0, "history": -0.5, "document": 0.0}) == {
        "history": -0.45,
        "text": 0.9,
        "document": 0,
    }


def test_parts_add_up_to_the_raw_term_and_an_unknown_input_has_its_own_part() -> None:
    one = head(RULES, DOCUMENT, bound=1.5, expired=1.1)
    x_D = document_input({"expired": 1.0})

    assert np.isnan(x_D).sum() == len(DOCUMENT) - 1
    assert one.bounded(x_D) == pytest.approx(1.5 * np.tanh(1.1 * np.log1p(1.0) / 1.5))
    assert one.parts(x_D).sum() == pytest.approx(1.1 * np.log1p(1.0))


def test_an_input_far_out_says_no_more_than_one_at_the_edge() -> None:
    one = head(RULES, DOCUMENT, bound=99.0, days_to_expiry=0.5)

    assert one.bounded(document_input({"days_to_expiry": 1e9})) == pytest.approx(99 * np.tanh(0.5 * FARTHEST / 99))


def test_aspects_name_what_raises_the_risk_with_a_vector_as_one() -> None:
    [one] = small_model().heads["history"]
    view = dict.fromkeys(VIEW, 0.0) | {"num_late_fees": 3.0}
    raising, quiet = np.array([9.0] + [0.0] * 7, np.float32), np.zeros(8, np.float32)

    assert one.aspects(history_input(view, raising)) == ("num_late_fees", "order")
    assert one.aspects(history_input(view, quiet)) == ("num_late_fees",)
    assert one.aspects(history_input(view | {"num_late_fees": 0.0}, -raising)) == ()


def test_files_bring_back_the_same_terms_to_the_bit(tmp_path: Path) -> None:
    model = small_model()
    again = from_files("v1", written(tmp_path, model))
    x_D = np.random.default_rng(0).normal(size=len(DOCUMENT))

    assert again.heads["document"][0].bounded(x_D) == model.heads["document"][0].bounded(x_D)
    assert again.gates == model.gates
    assert (again.version, again.synthetic) == ("v1", True)
    assert [again.bound(source) for source in SOURCES] == [2.0, 1.5, 1.5]


def test_a_head_is_found_by_what_it_reads() -> None:
    model = small_model()

    assert model.head("text", "fake@1") is model.heads["text"][0]
    assert model.head("text", "another@1") is None


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path, small_model())
    files[ABOUT].write_text(files[ABOUT].read_text().replace("num_late_fees", "num_late_charges"))

    with pytest.raises(Unavailable, match="knows other features than this version"):
        from_files("v1", files)
