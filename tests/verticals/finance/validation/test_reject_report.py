"""Reject inference of a file: every method with its evidence and caveats; a bad file names row and rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from verticals.contract import Context, InvalidInput, TooLarge, UploadedFile
from verticals.finance.validation import schemas
from verticals.finance.validation.reject_inference import METHODS
from verticals.finance.validation.reject_report import CAVEATS, METHOD_NOTES, compare


def decided(n: int = 600, *, seed: int = 1) -> pd.DataFrame:
    """Applicants of whom an old score accepted the better half; a tenth of the accepted is not known yet."""
    rng = np.random.default_rng(seed)
    income, job = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    default = (rng.random(n) < 1 / (1 + np.exp(1 + 1.2 * income - (job == "c")))).astype(int)
    accepted = (income + rng.normal(size=n) > 0).astype(int)
    known = (accepted == 1) & (rng.random(n) < 0.9)
    return pd.DataFrame(
        {
            "accepted": accepted,
            "default": np.where(known, default.astype(str), ""),
            "income": income.round(3),
            "job": job,
        }
    )


def ask(table: pd.DataFrame, **more: Any) -> schemas.RejectInferenceReport:
    file = UploadedFile(filename="decided.csv", content=table.to_csv(index=False).encode())
    return compare(schemas.RejectInferenceRequest(file=file, **more))


def of(report: schemas.RejectInferenceReport, method: str, statistic: str) -> schemas.EvidenceRow:
    return next(row for row in report.rows if (row.of, row.statistic) == (method, statistic))


def test_every_method_has_its_rows_and_its_caveat() -> None:
    table = decided()
    report = ask(table)

    assert report.num_rejected == (table["accepted"] == 0).sum()
    assert report.num_unknown == ((table["accepted"] == 1) & (table["default"] == "")).sum()
    assert report.num_accepted + report.num_unknown == (table["accepted"] == 1).sum()
    assert [one.method for one in report.methods] == list(METHODS) == list(METHOD_NOTES)
    assert {row.of for row in report.rows} == set(METHODS)
    assert report.caveats == list(CAVEATS)
    for method in METHODS:
        auc = of(report, method, "AUC, accepted held out")
        assert auc.low is not None
        assert auc.high is not None
        assert 0.5 < auc.low < auc.value < auc.high < 1  # type: ignore[operator]
        assert of(report, method, "mean prediction, declined").n == report.num_rejected
    assert all(row.grade == "information" for row in report.rows)


def test_prudence_makes_the_declined_worse_and_says_so() -> None:
    plain, prudent = ask(decided()), ask(decided(), prudence=3)

    def declined(report: schemas.RejectInferenceReport, method: str) -> float:
        return of(report, method, "mean prediction, declined").value or 0

    assert declined(prudent, "fuzzy augmentation") > declined(plain, "fuzzy augmentation") + 0.03
    assert declined(prudent, "accepted only") == declined(plain, "accepted only")
    assert (plain.prudence, prudent.prudence) == (1, 3)


def test_fuzzy_augmentation_without_prudence_ranks_the_declined_as_the_baseline_does() -> None:
    row = of(ask(decided()), "fuzzy augmentation", "rank correlation with accepted only, declined")

    assert row.value == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"accepted": "2"}, "row 3, accepted: must be 0 or 1"),
        ({"default": "maybe"}, "row 3, default: must be 0, 1 or empty"),
    ],
)
def test_a_bad_cell_names_row_value_and_rule(change: dict[str, str], told: str) -> None:
    table = decided().astype(str)
    for name, value in change.items():
        table.loc[2, name] = value

    with pytest.raises(InvalidInput, match=told):
        ask(table)


def test_what_is_missing_is_said() -> None:
    table = decided()

    with pytest.raises(InvalidInput, match="needs the column accepted"):
        ask(table.drop(columns="accepted"))
    with pytest.raises(InvalidInput, match="at least one column with a field"):
        ask(table[["accepted", "default"]])
    with pytest.raises(InvalidInput, match="needs 30 declined applicants"):
        ask(table[table["accepted"] == 1])
    with pytest.raises(InvalidInput, match="needs 30 accepted bads"):
        ask(table[table["default"] != "1"])
    with pytest.raises(TooLarge, match=r"at most 500 categories.* Leave the column out"):
        ask(table.assign(name=[f"person {i}" for i in range(len(table))]))
    with pytest.raises(TooLarge, match="at most 20,000 rows"):
        ask(pd.concat([table] * 34))


def test_the_operation_answers(handlers: Any, context: Context) -> None:
    file = UploadedFile(filename="decided.csv", content=decided().to_csv(index=False).encode())

    found = handlers["reject_inference"](schemas.RejectInferenceRequest(file=file), context)

    assert len(found.rows) == 3 + 4 * 5
