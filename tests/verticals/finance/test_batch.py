"""Files of applications: what is read, what is refused, what is reported per row, what it takes of memory."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.batch import MadeFile, csv_pieces
from tests.verticals.finance.applications import body
from verticals.contract import InvalidInput, UnsupportedMedia
from verticals.finance import schemas
from verticals.finance.batch import score_file
from verticals.finance.batch_checks import check
from verticals.finance.batch_scores import Scored
from verticals.finance.fields import CATEGORIES, ID, LIMITS
from verticals.finance.scoring import Models
from verticals.finance.seen_ids import SeenIds

COLUMNS = len(body()) + len(schemas.RESULT_COLUMNS)


def csv_of(*rows: dict[str, Any], columns: list[str] | None = None) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns or list(rows[0]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def arrow_of(table: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def keep_nothing(scored: Scored, chunk: str) -> None:
    pass


def nobody(customers: object) -> None:
    """No customer has sources."""


def score(models: Models, content: bytes) -> list[dict[str, str]]:
    """The answer to a CSV file, as rows."""
    answer = b"".join(score_file(models, io.BytesIO(content), keep=keep_nothing, read=nobody).chunks)
    return list(csv.DictReader(io.StringIO(answer.decode(), newline="")))


def score_arrow(models: Models, table: pa.Table) -> pa.Table:
    answer = b"".join(score_file(models, io.BytesIO(arrow_of(table)), keep=keep_nothing, read=nobody).chunks)
    return pa.ipc.open_stream(answer).read_all()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"duration_months": 0}, r"duration_months: must be at least 1 \(got '0'\)"),
        ({"duration_months": "two years"}, r"duration_months: must be a whole number .*'two years'"),
        ({"duration_months": ""}, r"duration_months: must be a whole number .*nothing"),
        ({"duration_months": "12.5"}, r"duration_months: .*'12.5'"),
        ({"duration_months": "१२"}, r"duration_months: .*'१२'"),
        ({"credit_amount_dm": 10_000_000}, r"credit_amount_dm: must be at most 100000"),
        ({"credit_amount_dm": 10**30}, r"credit_amount_dm: "),
        ({"age_years": 17}, r"age_years: must be at least 18"),
        ({"purpose": "yacht"}, r"purpose: must be one of 'car_new', .* \(got 'yacht'\)"),
        ({"application_id": "Jane Doe"}, r"application_id: must be of the form"),
        ({"application_id": "x" * 65}, r"application_id: must have at most 64 characters"),
    ],
)
def test_a_bad_cell_is_reported_with_field_rule_and_value(models: Models, change: dict[str, Any], error: str) -> None:
    bad, good = score(models, csv_of(body(**change), body(application_id="good")))

    assert bad["points"] == ""
    assert re.match(error, bad["error"])
    assert (good["points"], good["error"]) == ("446", "")


@pytest.mark.parametrize("written", ["48", " 48 ", "048", "+48", "48.0"])
def test_a_number_may_be_written_in_any_way_that_the_api_takes(models: Models, written: str) -> None:
    assert score(models, csv_of(body(duration_months=written)))[0]["points"] == "446"


def test_an_empty_cell_is_a_value_not_known(models: Models) -> None:
    found = score(models, csv_of(body(savings="  ")))[0]

    assert (found["decision"], found["error"]) == ("refer", "")


def test_a_repeated_id_is_reported_with_the_row_that_has_it(models: Models) -> None:
    rows = score(models, csv_of(*(body(application_id=i) for i in ("a", "b", "a", "", ""))))

    assert [r["error"] for r in rows] == [
        *("", "", "application_id: must be unique in the file (got 'a', as in row 1)", "", "")
    ]


def test_a_line_with_too_few_or_too_many_cells_is_reported_in_its_place(models: Models) -> None:
    line = csv_of(body(application_id="last")).splitlines(keepends=True)[1]
    rows = score(models, csv_of(body()) + b"a,b,c\r\n" + b"x," * 30 + b"x\r\n" + line)

    assert [r["error"] for r in rows] == [
        "",
        "row: must have 11 cells (got 3)",
        "row: must have 11 cells (got 31)",
        "",
    ]
    assert [r[ID] for r in rows] == ["demo-2", "a", "x", "last"]
    assert all(len(r) == COLUMNS for r in rows)


def test_broken_lines_keep_their_places_across_chunks(models: Models) -> None:
    line = csv_of(body(application_id="")).splitlines(keepends=True)[1]
    many = 60_000  # more than one block
    rows = score(models, csv_of(body(application_id="")) + (line * 999 + b"broken\r\n") * (many // 1000))
    broken = [number for number, row in enumerate(rows) if row["error"]]

    assert len(rows) == many + 1
    assert broken == list(range(1000, many + 1, 1000))
    assert all(rows[number][ID] == "broken" for number in broken)


def test_lines_without_a_value_are_left_out(models: Models) -> None:
    rows = score(models, csv_of(body()) + b"\r\n,,,,,,,,,,\r\n \r\n" + csv_of(body(application_id="b")).splitlines()[1])

    assert [(r[ID], r["points"]) for r in rows if not r["error"]] == [("demo-2", "446"), ("b", "446")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_eight_bit_encodings_are_read(models: Models, encoding: str) -> None:
    content = csv_of(body(), body(application_id="b", purpose="Möbel")).decode().encode(encoding)
    good, bad = score(models, content)

    assert good["points"] == "446"
    assert "got 'Möbel'" in bad["error"]
    assert bad["purpose"] == "Möbel"


def test_encodings_may_be_mixed_in_one_file(models: Models) -> None:
    lines = [csv_of(body(application_id=e, purpose="Möbel")).decode().encode(e) for e in ("utf-8", "latin-1")]
    rows = score(models, lines[0] + lines[1].splitlines(keepends=True)[1])

    assert [r["purpose"] for r in rows] == ["Möbel", "Möbel"]


@pytest.mark.parametrize(
    "content",
    [csv_of(body()).decode().encode("utf-16"), b"PK\x03\x04\0\0binary", b"ARROW1\0\0file", b"\xff\xff\xff\xff!"],
)
def test_other_files_are_refused(models: Models, content: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match=r"file: must be .* Arrow IPC stream"):
        score(models, content)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ([c for c in body() if c != "purpose"], r"missing: purpose\)"),
        ([*body(), "sex"], r"unknown: sex\)"),
        ([*body(), "purpose"], r"named twice: purpose\)"),
        (["duration", *[c for c in body() if c != "duration_months"]], "missing: duration_months; unknown: duration"),
    ],
)
def test_wrong_columns_are_refused_before_anything_is_scored(models: Models, columns: list[str], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        score(models, csv_of(body(), columns=columns))


@pytest.mark.parametrize("content", [csv_of(body()).splitlines()[0], csv_of(body()).splitlines()[0] + b"\r\n\r\n"])
def test_a_file_without_rows_is_refused(models: Models, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="header line and at least one row"):
        score(models, content)


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_is_refused(models: Models, content: bytes) -> None:
    with pytest.raises(InvalidInput, match="file: the columns are not those of an application"):
        score(models, content)


def test_an_unclosed_quote_is_refused(models: Models) -> None:
    with pytest.raises(InvalidInput, match=r"not valid CSV \(a quote is never closed\)"):
        score(models, csv_of(body()).splitlines(keepends=True)[0] + b'"open,1,2\r\n')


def test_after_an_unclosed_quote_the_rows_before_it_are_scored_and_the_rest_is_told_missing(models: Models) -> None:
    rows = score(models, csv_of(body()) + b'"open,1,2\r\n' + csv_of(body()).splitlines(keepends=True)[1])

    assert rows[0]["points"] == "446"
    assert rows[-1]["error"].startswith("file: row 3 or after: not valid CSV")
    assert rows[-1]["error"].endswith("nothing after it was read")


def test_semicolons_are_refused_with_the_remedy(models: Models) -> None:
    with pytest.raises(InvalidInput, match="Use commas between columns"):
        score(models, csv_of(body()).replace(b",", b";"))


def test_columns_keep_their_order_and_results_follow(models: Models) -> None:
    columns = sorted(body())
    answer = b"".join(
        score_file(models, io.BytesIO(csv_of(body(), columns=columns)), keep=keep_nothing, read=nobody).chunks
    )
    lines = list(csv.reader(io.StringIO(answer.decode())))

    assert lines[0] == [*columns, *schemas.RESULT_COLUMNS]
    assert lines[1][: len(columns)] == [str(body()[c]) for c in columns]


# --- Arrow ------------------------------------------------------------------------------------------------------------


def test_arrow_comes_back_with_its_types_and_results(models: Models) -> None:
    table = pa.Table.from_pylist(
        [body(), body(application_id="b", purpose="yacht"), body(application_id="c", savings=None)]
    )
    found = score_arrow(models, table)

    assert found.schema.field("duration_months").type == pa.int64()
    assert found["points"].to_pylist()[:2] == [446, None]
    assert "got 'yacht'" in found["error"][1].as_py()
    assert found["decision"].to_pylist() == ["decline", None, "refer"]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.string(), pa.large_string()])
def test_numbers_of_any_type_are_read(models: Models, kind: pa.DataType) -> None:
    table = pa.Table.from_pylist([body()])
    place = table.column_names.index("duration_months")
    column = table["duration_months"].cast(kind)

    assert score_arrow(models, table.set_column(place, "duration_months", column))["points"].to_pylist() == [446]


def test_dictionaries_of_categories_are_read(models: Models) -> None:
    table = pa.Table.from_pylist([body()])
    place = table.column_names.index("purpose")

    found = score_arrow(models, table.set_column(place, "purpose", table["purpose"].dictionary_encode()))
    assert found["points"].to_pylist() == [446]


@pytest.mark.parametrize("value", [48.5, float("nan"), float("inf"), None, 1e300])
def test_a_float_that_is_no_whole_number_is_reported(models: Models, value: float | None) -> None:
    table = pa.Table.from_pylist([body()]).drop_columns(["duration_months"])
    found = score_arrow(models, table.append_column("duration_months", pa.array([value], pa.float64())))

    assert found["error"][0].as_py().startswith("duration_months: ")


@pytest.mark.parametrize("name", ["duration_months", "purpose"])
@pytest.mark.parametrize("values", [[True], [[1]], [b"x"]])
def test_a_column_of_a_type_that_holds_no_value_is_refused(models: Models, name: str, values: list[Any]) -> None:
    table = pa.Table.from_pylist([body()]).drop_columns([name]).append_column(name, pa.array(values))

    with pytest.raises(InvalidInput, match=f"{name}: must be a column of .*text"):
        score_arrow(models, table)


def test_a_stream_that_breaks_off_is_told_after_the_rows_before(models: Models) -> None:
    out = io.BytesIO()
    table = pa.Table.from_pylist([body()])
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
        whole = out.tell()
        writer.write_table(table)
    cut = out.getvalue()[: whole + 200]
    answer = b"".join(score_file(models, io.BytesIO(cut), keep=keep_nothing, read=nobody).chunks)

    found = pa.ipc.open_stream(answer).read_all()
    assert found["points"].to_pylist() == [446, None]
    assert "not a valid Arrow stream" in found["error"][1].as_py()


# --- a file and the API accept the same -------------------------------------------------------------------------------

_TEXTS = st.sampled_from(
    ["", " ", "48", " 48", "048", "+48", "48.0", "4_8", "1e1", "0", "-1", "121", "x", "none", "٤", "true"]
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*CATEGORIES, *LIMITS, ID]), text=_TEXTS | st.text(max_size=8))
def test_columns_are_checked_as_the_api_checks_one_application(name: str, text: str) -> None:
    values = {n: str(v) for n, v in body(**{name: text}).items()}
    table = pa.table({n: [v] for n, v in values.items()})
    with SeenIds() as seen:
        checked = check(table, {}, seen=seen, first_row=1)
    try:
        expected = schemas.ScoreRequest.model_validate({n: v.strip() or None for n, v in values.items()})
    except ValidationError:
        assert checked.errors[0]
        return

    assert checked.errors[0] == ""
    got = {n: None if checked.categories[n][0] < 0 else CATEGORIES[n][checked.categories[n][0]] for n in CATEGORIES}
    got |= {n: int(checked.numbers[n][0]) for n in LIMITS}
    assert got == expected.model_dump(mode="json", exclude={ID, "customer"})


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(models: Models) -> None:
    """Both files are longer than what Arrow reads ahead, 32 blocks. Without ids: a run of them is kept (`SeenIds`)."""
    peaks = []
    for count in (30_000, 90_000):
        source: Any = MadeFile(csv_pieces(count, named=False))
        tracemalloc.start()
        arrow_before = pa.total_allocated_bytes()
        written = most_arrow = 0
        for piece in score_file(models, source, keep=keep_nothing, read=nobody, block_bytes=2**16).chunks:
            written += len(piece)
            most_arrow = max(most_arrow, pa.total_allocated_bytes() - arrow_before)
        peaks.append(tracemalloc.get_traced_memory()[1] + most_arrow)
        tracemalloc.stop()

    assert written > 25 * 2**20
    assert peaks[1] < 1.2 * peaks[0]


def ids_in(parts: list[list[str]], run_ids: int) -> Iterator[list[int]]:
    row = 1
    with SeenIds(run_ids=run_ids) as seen:
        for part in parts:
            rows = np.arange(row, row + len(part))
            yield seen.add(np.array(part, dtype=object), rows).tolist()
            row += len(part)


@settings(max_examples=60)
@given(parts=st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=6), max_size=8), run_ids=st.integers(1, 8))
def test_seen_ids_name_the_first_row_of_each(parts: list[list[str]], run_ids: int) -> None:
    first: dict[str, int] = {}
    expected, row = [], 1
    for part in parts:
        expected.append(
            [
                first.setdefault(i, row + n) if i in first else 0 * first.setdefault(i, row + n)
                for n, i in enumerate(part)
            ]
        )
        row += len(part)

    assert list(ids_in(parts, run_ids)) == expected
