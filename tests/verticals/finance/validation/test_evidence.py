"""Reading a validator's file: what it may hold, and what is refused with field, value, rule and remedy."""

from __future__ import annotations

import numpy as np
import pytest

from verticals.contract import InvalidInput, TriviumError, UnsupportedMedia, UploadedFile
from verticals.finance.data import load_german
from verticals.finance.scoring import Models
from verticals.finance.validation.evidence import development_sample, read_sample


def read(models: Models, text: str | bytes):  # type: ignore[no-untyped-def]
    content = text.encode() if isinstance(text, str) else text
    return read_sample(UploadedFile(filename="s.csv", content=content), models.scorecard)


def test_a_scored_file_with_dates_groups_and_open_outcomes(models: Models) -> None:
    sample, scored_by = read(
        models,
        "\ufeffdefault,prob_default,date,group_region,income,kind\n"
        "1,0.4,2026-01-31,north,10,a\n0,0.1,2026-02-01,,,b\n,0.2,2025-12-24,south,30,\n",
    )

    assert scored_by == "scored in the file"
    assert sample.default.tolist()[:2] == [1, 0]
    assert np.isnan(sample.default[2])
    assert sample.month is not None
    assert sample.month.tolist() == [672, 673, 671]
    assert sample.groups["region"].tolist() == ["north", None, "south"]
    assert sample.features["income"].tolist()[0] == 10
    assert sample.features["kind"].tolist() == ["a", "b", None]
    assert sample.points.tolist() == [499, 551, 527]  # 487.123 + 28.854 ln(odds good:bad), rounded


def test_applications_without_a_prediction_are_scored_by_the_model_in_force(models: Models) -> None:
    frame, default = load_german()
    sample, scored_by = read(models, frame.assign(default=default).to_csv(index=False))

    assert scored_by == "scored by the model in force"
    assert sample.prob_default == pytest.approx(models.scorecard.score(frame).prob_default)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prob_default\n0.1\n", "needs the column default"),
        ("default\n1\n", "needs the column prob_default, or every field of an application"),
        ("default,prob_default\n2,0.1\n", r"row 1, default: must be 0, 1 or empty \(got '2'\)"),
        ("default,prob_default\nyes,0.1\n", r"row 1, default: must be 0, 1 or empty \(got 'yes'\)"),
        ("default,prob_default\n1,0.1\n0,1\n0,nan\n", r"row 2, prob_default: .* \(1 other rows too\) \(got '1'\)"),
        ("default,prob_default\n1,\n", "row 1, prob_default: must be above 0 and below 1"),
        ("default,prob_default,date\n1,0.1,2999-01-01\n", r"row 1, date: must be between 1970-01-01 and today"),
        ("default,prob_default,date\n1,0.1,31.12.2025\n", "row 1, date: must be a date as YYYY-MM-DD"),
        ("default,prob_default,date\n1,0.1,2026-02-30\n", "row 1, date: must be a date"),
        ("default,prob_default,default\n1,0.1,1\n", "each column once"),
        ("default,prob_default\n1\n", "row 1: must have 2 cells"),
        ('default,prob_default\n"1,0.1\n', "not valid CSV"),
        ("default,prob_default\n", "at least one row"),
        ("", "at least one row"),
        ("default,prob_default,purpose\n1,0.1,yacht\n", "row 1, purpose: must be one of"),
        ("default,prob_default,duration_months\n1,0.1,long\n", "row 1, duration_months: must be a number"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_whole(models: Models, text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read(models, text)


@pytest.mark.parametrize("content", ["default,prob_default\n1,0.1\n".encode("utf-16"), b"\xff\xfe1"])
def test_another_encoding_is_named(models: Models, content: bytes) -> None:
    with pytest.raises(TriviumError, match="UTF-8") as told:
        read(models, content)
    assert isinstance(told.value, InvalidInput | UnsupportedMedia)


def test_the_development_sample_is_out_of_fold_and_has_its_groups(models: Models) -> None:
    sample = development_sample(models)

    assert len(sample) == 1000
    assert sample.default.sum() == 300
    assert sample.points.tolist() == np.rint(models.validation["out_of_fold"]["points"]).tolist()
    assert (sample.groups["foreign_worker"] == "yes").sum() == 37
    assert (sample.groups["age"] == "62 or older").sum() == 38
