"""The operations, as a validator uses them: report, file, document, expected loss."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pdfplumber
import pytest
from pydantic import ValidationError

from verticals.contract import Context, Handler, UploadedFile
from verticals.finance import VERTICAL
from verticals.finance import schemas as finance
from verticals.finance.data import EXCLUDED, load_german
from verticals.finance.validation import schemas
from verticals.finance.validation.document import Grid, Heading, Paragraph, to_markdown
from verticals.finance.validation.pdf import to_pdf


def report(handlers: Mapping[str, Handler], context: Context) -> schemas.ValidationReport:
    found = handlers["validation"](schemas.ReportRequest(), context)
    assert isinstance(found, schemas.ValidationReport)
    return found


def document(handlers: Mapping[str, Handler], context: Context, format: Any) -> bytes:
    found: Any = handlers["model_document"](schemas.DocumentRequest(format=format), context)
    assert isinstance(found.content, bytes)
    return found.content


def test_the_report_of_the_development_sample_has_no_red_grade(
    handlers: Mapping[str, Handler], context: Context
) -> None:
    found = report(handlers, context)

    assert (found.n, found.defaults, found.num_observed, found.first_month) == (1000, 300, 1000, None)
    assert "red" not in found.grades
    assert sum(found.grades.values()) == len(found.rows)
    assert {r.rule for r in found.rows} == {r.rule for r in found.rules}
    assert len([r for r in found.rows if r.statistic == "AUC lost when not known"]) == 9


def test_the_report_is_the_same_when_asked_again(handlers: Mapping[str, Handler], context: Context) -> None:
    assert report(handlers, context) == report(handlers, context)


def test_a_file_of_the_same_applicants_shows_no_drift(handlers: Mapping[str, Handler], context: Context) -> None:
    frame, default = load_german()
    file = UploadedFile(filename="s.csv", content=frame.assign(default=default).to_csv(index=False).encode())
    found: Any = handlers["validate_sample"](schemas.SampleReportRequest(file=file), context)
    drift = [r for r in found.rows if r.section == "drift" and r.rule == "psi-test"]

    assert [r.of for r in drift] == ["points", *frame]
    assert {r.grade for r in drift} == {"green"}
    assert "scored by the model in force" in found.sample


def test_every_figure_of_the_card_and_the_report_is_in_the_document(
    handlers: Mapping[str, Handler], context: Context
) -> None:
    text = document(handlers, context, "md").decode()
    card: Any = handlers["model"](finance.ModelRequest(), context)

    for feature in card.features:
        for b in feature.bins:
            assert f"| {b.label} | {b.count:,} | {b.defaults:,} |" in text
            assert f"| {b.woe:.4f} | {b.points:+.2f} |" in text
    for row in report(handlers, context).rows:
        assert f"| {row.statistic} | {row.of} |" in text
        assert row.value is None or f"| {row.value:.4f} |" in text
    for name in EXCLUDED:
        assert f"| {name} |" in text
    for fact in (card.sha256, card.policy.rule, card.limits, card.recipe):
        assert fact in text


def test_the_tables_of_the_markdown_have_one_width_each(handlers: Mapping[str, Handler], context: Context) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", document(handlers, context, "md").decode(), flags=re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_the_pdf_says_what_the_markdown_says(handlers: Mapping[str, Handler], context: Context) -> None:
    with pdfplumber.open(io.BytesIO(document(handlers, context, "pdf"))) as pdf:
        text = " ".join(page.extract_text() for page in pdf.pages)
        assert len(pdf.pages) > 3
        assert pdf.pages[1].extract_text().splitlines()[-1] == "2"
    for row in report(handlers, context).rows:
        assert row.value is None or f"{row.value:.4f}" in text
    for heading in re.findall(r"^#+ (.*)$", document(handlers, context, "md").decode(), flags=re.M):
        assert heading in text


def test_the_same_document_gives_the_same_bytes() -> None:
    blocks = [Heading("T", 1), Paragraph("a <b> & c"), Grid(("x", "y"), (("1 | 2", "é"),), (1, 2))]

    assert to_pdf(blocks) == to_pdf(blocks)
    assert "| 1 \\| 2 | é |" in to_markdown(blocks)


def test_expected_loss_of_the_documented_example(handlers: Mapping[str, Handler], context: Context) -> None:
    [example] = next(o for o in VERTICAL.operations if o.name == "expected_loss").examples.values()
    found: Any = handlers["expected_loss"](schemas.ExpectedLossRequest.model_validate(example), context)
    first, second = found.exposures

    assert (first.stage, second.stage) == (1, 2)
    assert first.loss == first.loss_12m < second.loss == second.loss_lifetime
    assert found.loss == first.loss + second.loss
    assert [s.count for s in found.stages] == [1, 1, 0]
    assert all(s.loss == s.loss.quantize(Decimal("0.01")) for s in found.stages)


def test_an_impossible_exposure_is_refused() -> None:
    good = {
        "exposure_id": "c", "prob_default_12m": 0.1, "prob_default_12m_at_origination": 0.1, "amount": "10",
        "months_remaining": 1, "annual_rate": 0, "loss_given_default": 0.5,
    }  # fmt: skip
    for field, value in (
        ("prob_default_12m", 1),
        ("amount", "-1"),
        ("loss_given_default", 1.1),
        ("months_remaining", 0),
    ):
        with pytest.raises(ValidationError, match=field):
            schemas.ExposureIn.model_validate(good | {field: value})
