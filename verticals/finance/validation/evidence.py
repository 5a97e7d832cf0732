"""Samples to validate: the development sample, or a CSV of applicants with outcomes. Ignores every statistic.

A CSV with one bad row is refused: evidence on the rows that happened to be readable is no evidence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from verticals.contract import InvalidInput, TooLarge, UnsupportedMedia, UploadedFile
from verticals.finance import schemas
from verticals.finance.data import FEATURES, load_german, load_raw
from verticals.finance.scaling import prob_default
from verticals.finance.scorecard import Scorecard
from verticals.finance.scoring import Models
from verticals.finance.validation.sample import ScoredSample, month_number
from verticals.finance.validation.schemas import MAX_SAMPLE_BYTES, MAX_SAMPLE_ROWS

OUTCOME, PROBABILITY, DATE, GROUP = "default", "prob_default", "date", "group_"
FIRST_DAY = date(1970, 1, 1)
ELDERLY = 62  # 12 CFR 1002.2(o)


def development_sample(models: Models) -> ScoredSample:
    """German credit, each applicant scored by a model that has not seen it. No dates.

    Protected groups: age (elderly by Regulation B) and foreign worker (codes as corrected by Groemping 2019). Sex
    cannot be told from this data: the code of most women is also that of single men.
    """
    frame, default = load_german()
    raw = load_raw()
    points = np.array(models.validation["out_of_fold"]["points"])
    scaling = models.scorecard.scaling
    groups = {
        "age": np.where(raw["age_years"] >= ELDERLY, f"{ELDERLY} or older", f"under {ELDERLY}").astype(object),
        "foreign_worker": np.where(raw["foreign_worker"] == "A202", "yes", "no").astype(object),
    }
    return ScoredSample(
        prob_default=prob_default((scaling.offset - points) / scaling.factor),
        points=np.rint(points),
        default=default.astype(float),
        features=frame,
        groups=groups,
    )


def read_sample(file: UploadedFile, scorecard: Scorecard) -> tuple[ScoredSample, str]:
    """A CSV as a sample, and who scored it.

    Raises:
        TooLarge, UnsupportedMedia: a file that is not read.
        InvalidInput: a column or cell that breaks a rule; the first one is named, with the number of others.
    """
    table = read_table(file)
    default = numbers(table, OUTCOME, "must be 0, 1 or empty", lambda x: np.isin(x, (0, 1)), empty=True)
    names = [str(c) for c in table]
    groups = {c.removeprefix(GROUP): _texts(table[c]) for c in names if c.startswith(GROUP)}
    month = _months(table) if DATE in table else None
    fields = [c for c in names if c not in (OUTCOME, PROBABILITY, DATE) and not c.startswith(GROUP)]
    features = pd.DataFrame({name: typed(table, name) for name in fields}, index=table.index)
    if PROBABILITY in table:
        prob = numbers(table, PROBABILITY, "must be above 0 and below 1", lambda x: (x > 0) & (x < 1))
        points, scored_by = scorecard.scaling.points(np.log(prob / (1 - prob))), "scored in the file"
    else:
        if missing := [f.name for f in FEATURES if f.name not in table]:
            raise InvalidInput(
                f"needs the column {PROBABILITY}, or every field of an application (missing: {', '.join(missing)})",
                field="file",
            )
        scores = scorecard.score(features)
        prob, points, scored_by = scores.prob_default, scores.points, "scored by the model in force"
    sample = ScoredSample(
        prob_default=prob, points=np.rint(points), default=default, features=features, month=month, groups=groups
    )
    return sample, scored_by


def read_table(file: UploadedFile) -> pd.DataFrame:
    """The cells as text, by name of column, `OUTCOME` among them.

    Raises:
        TooLarge, UnsupportedMedia: a file that is not read.
        InvalidInput: no CSV in UTF-8, or a line that does not fit the header.
    """
    if len(file.content) > MAX_SAMPLE_BYTES:
        raise TooLarge(
            f"at most {MAX_SAMPLE_BYTES:,} bytes", field="file", value=len(file.content), remedy="Draw a sample."
        )
    if b"\0" in file.content:
        raise UnsupportedMedia("must be a CSV text file in UTF-8", field="file", remedy="Save it as CSV (UTF-8).")
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            "must be UTF-8", field="file", value=f"byte {error.start}", remedy="Save it as CSV (UTF-8)."
        ) from None
    try:
        lines = [
            line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if any(c.strip() for c in line)
        ]
    except csv.Error as error:
        raise InvalidInput(f"is not valid CSV: {error}", field="file") from None
    if len(lines) < 2:
        raise InvalidInput("must have a header line and at least one row", field="file", value=f"{len(lines)} lines")
    if len(lines) - 1 > MAX_SAMPLE_ROWS:
        raise TooLarge(f"at most {MAX_SAMPLE_ROWS:,} rows", field="file", value=len(lines) - 1, remedy="Draw a sample.")
    header = [name.strip() for name in lines[0]]
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise InvalidInput("each column once", field="file", value=twice[0][:40])
    if OUTCOME not in header:
        raise InvalidInput(f"needs the column {OUTCOME}", field="file", remedy="1 is bad, 0 good, empty not known yet.")
    for number, line in enumerate(lines[1:], start=1):
        if len(line) != len(header):
            raise InvalidInput(f"must have {len(header)} cells", field=f"row {number}", value=len(line))
    return pd.DataFrame([[c.strip() for c in line] for line in lines[1:]], columns=header, dtype=object)


def numbers(
    table: pd.DataFrame,
    name: str,
    rule: str,
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]] = np.isfinite,
    *,
    empty: bool = False,
) -> NDArray[np.float64]:
    """A column as numbers; NaN for an empty cell, where one may be."""
    blank = np.asarray(table[name] == "")
    values = pd.to_numeric(table[name], errors="coerce").to_numpy(float)
    _refuse(table, name, rule, ~np.where(blank, empty, holds(values)))
    return values


def _months(table: pd.DataFrame) -> NDArray[np.int64]:
    days = {text: _day(text) for text in set(table[DATE])}
    parsed = [days[text] for text in table[DATE]]
    _refuse(table, DATE, "must be a date as YYYY-MM-DD", np.array([day is None for day in parsed]))
    today = datetime.now(UTC).date()
    outside = np.array([day is not None and not FIRST_DAY <= day <= today for day in parsed])
    _refuse(table, DATE, f"must be between {FIRST_DAY} and today", outside)
    return np.array([month_number(day) for day in parsed if day is not None])


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def typed(table: pd.DataFrame, name: str) -> Any:
    """A field as numbers if the product knows it so, or every cell is one; else as words, None where empty."""
    spec = next((f for f in FEATURES if f.name == name), None)
    if spec is not None and spec.kind == "numeric":
        return numbers(table, name, "must be a number")
    if spec is not None:
        allowed = [*schemas.LABELS[name], ""]
        _refuse(table, name, f"must be one of {', '.join(spec.categories)} or empty", ~np.isin(table[name], allowed))
        return _texts(table[name])
    found = pd.to_numeric(table[name].where(table[name] != "", None), errors="coerce")
    is_number = bool((found.notna() | (table[name] == "")).all())
    return found.astype(float) if is_number else _texts(table[name])


def _texts(column: pd.Series) -> NDArray[np.object_]:
    return np.array([cell or None for cell in column], dtype=object)


def _refuse(table: pd.DataFrame, name: str, rule: str, bad: NDArray[np.bool_]) -> None:
    if not bad.any():
        return
    first, others = int(np.argmax(bad)), int(bad.sum()) - 1
    more = f" ({others:,} other rows too)" if others else ""
    raise InvalidInput(
        f"{rule}{more}", field=f"row {first + 1}, {name}", value=str(table[name].iloc[first])[:40],
        remedy="Mend the file: evidence needs every row.",
    )  # fmt: skip
