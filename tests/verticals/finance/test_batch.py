"""CSV files: what is read, what is refused, what is reported per row."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from tests.verticals.finance.applications import body
from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia, UploadedFile
from verticals.finance import batch, schemas


def csv_of(*rows: dict[str, Any], columns: list[str] | None = None) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns or list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def read(content: bytes) -> batch.Table:
    return batch.read(UploadedFile(filename="applications.csv", content=content))


def test_a_row_becomes_the_application_that_json_would_give() -> None:
    table = read(csv_of(body()))

    assert table.rows[0].application == schemas.ScoreRequest.model_validate(body())


def test_an_empty_cell_is_a_value_not_known() -> None:
    application = read(csv_of(body(savings=None))).rows[0].application

    assert application is not None
    assert application.savings is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"duration_months": 0}, r"duration_months: .*greater than or equal to 1 \(got '0'\)"),
        ({"duration_months": "two years"}, r"duration_months: .*valid integer.*'two years'"),
        ({"duration_months": ""}, r"duration_months: .*valid integer.*nothing"),
        ({"credit_amount_dm": 10_000_000}, r"credit_amount_dm: .*less than or equal to 100000"),
        ({"age_years": 17}, r"age_years: .*greater than or equal to 18"),
        ({"purpose": "yacht"}, r"purpose: Input should be 'car_new', .* \(got 'yacht'\)"),
        ({"application_id": "Jane Doe"}, r"application_id: String should match pattern"),
    ],
)
def test_a_bad_cell_is_reported_with_field_rule_and_value(change: dict[str, Any], error: str) -> None:
    table = read(csv_of(body(**change), body(application_id="good")))

    assert table.rows[0].application is None
    assert re.match(error, table.rows[0].error)
    assert table.rows[1].application is not None


def test_a_repeated_id_is_reported_with_the_row_that_has_it() -> None:
    table = read(csv_of(body(application_id="a"), body(application_id="b"), body(application_id="a")))

    assert [r.application is not None for r in table.rows] == [True, True, False]
    assert table.rows[2].error == "application_id: must be unique in the file (got 'a', as in row 1)"


def test_a_line_with_too_few_or_too_many_cells_is_reported() -> None:
    good = csv_of(body())
    table = read(good + b"a,b,c\r\n" + b"x," * 30 + b"x\r\n")

    assert [r.error for r in table.rows] == [
        "",
        "row: must have 11 cells (got 3)",
        "row: must have 11 cells (got 31)",
    ]
    assert len(list(csv.reader(io.StringIO(batch.write(table, [{}] * 3, add_id=False).decode())))[3]) == 11 + 12


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_eight_bit_encodings_are_read(encoding: str) -> None:
    content = csv_of(body(), body(application_id="b", purpose="Möbel")).decode().encode(encoding)
    table = read(content)

    assert table.header[0] == "application_id"
    assert table.rows[0].application is not None
    assert "got 'Möbel'" in table.rows[1].error


@pytest.mark.parametrize("content", [csv_of(body()).decode().encode("utf-16"), b"PK\x03\x04\0\0binary"])
def test_utf_16_and_spreadsheets_are_refused(content: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match=r"UTF-8 or Latin-1.*Save it as CSV"):
        read(content)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([c for c in body() if c != "purpose"], r"missing: purpose\)"),
        ([*body(), "sex"], r"unknown: sex\)"),
        ([*body(), "purpose"], r"named twice: purpose\)"),
        (["duration", *[c for c in body() if c != "duration_months"]], "missing: duration_months; unknown: duration"),
    ],
)
def test_wrong_columns_are_refused_before_anything_is_scored(columns: list[str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        read(csv_of(body(), columns=columns))


@pytest.mark.parametrize("content", [b"", b"\n\n", csv_of(body()).splitlines()[0]])
def test_a_file_without_rows_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="header line and at least one row"):
        read(content)


def test_an_unclosed_quote_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidInput, match=r"line 3 is not valid CSV"):
        read(csv_of(body()) + b'"open,1,2\r\n')


def test_semicolons_are_refused_with_the_remedy() -> None:
    with pytest.raises(InvalidInput, match="Use commas between columns"):
        read(csv_of(body()).replace(b",", b";"))


def test_too_many_rows_or_bytes_are_refused() -> None:
    line = csv_of(body()).splitlines(keepends=True)[1]

    with pytest.raises(TooLarge, match=r"at most 10,000,000 bytes \(got 10000001\)"):
        read(b"x" * 10_000_001)
    with pytest.raises(TooLarge, match="at most 20,000 rows"):
        read(csv_of(body()) + line * 20_000)


def test_columns_keep_their_order_and_results_follow() -> None:
    columns = sorted(body())
    table = read(csv_of(body(), columns=columns))
    lines = list(csv.reader(io.StringIO(batch.write(table, [{"points": 512}], add_id=False).decode())))

    assert lines[0] == [*columns, *schemas.RESULT_COLUMNS]
    assert lines[1][: len(columns)] == [str(body()[c]) for c in columns]
    assert lines[1][len(columns)] == "512"
