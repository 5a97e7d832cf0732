"""The same applicants through every way to a score; counts the points that differ.

    python -m benchmarks.parity [--rows 10000] [--seed 1]

Ways: the API's handler, a CSV and an Arrow batch, the exported JSON table, SQL on SQLite, ONNX, and the scorecard on
pandas, polars and Arrow. Beside them is `Scorecard.score` on plain columns, and the terms of sources for applications
that name a customer; the scorecard alone is compared without them. Applications are random over all that the
schema accepts, half of the numbers at the bounds of bins, a tenth of the categories not known. PostgreSQL: see
tests/verticals/finance/exports/test_parity.py.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from benchmarks.finance_setting import Finance, open_finance, random_applications
from service.registry import FileRegistry
from verticals.contract import Context, Decision, Handler, ModelRegistry, UploadedFile
from verticals.finance import schemas
from verticals.finance.data import FEATURES
from verticals.finance.documents.mismatch import RULES
from verticals.finance.exports.card_json import export_json
from verticals.finance.exports.onnx_graph import export_scorecard, score_onnx
from verticals.finance.exports.sql import export_sql
from verticals.finance.frames import columns_of
from verticals.finance.scoring import Models
from verticals.finance.shipped import register_shipped
from verticals.finance.sources.inputs import DOCUMENT
from verticals.finance.sources.names import TERM_COLUMNS
from verticals.finance.sources.schemas import SourcesRequest
from verticals.finance.sources.store import open_stores

NUM_CUSTOMERS = 20
GROUP = 500  # requests that the API's handler gets together
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """Rows whose rounded points differ, and the largest difference of unrounded ones."""

    rounded: int
    exact: float


def largest_differences(
    models: Models, handlers: Mapping[str, Handler], context: Context, rows: Sequence[schemas.ScoreRequest]
) -> dict[str, Difference]:
    """Each way's difference from `Scorecard.score`, with the terms of each row's customer where there is one."""
    columns = {f.name: [_plain(getattr(r, f.name)) for r in rows] for f in FEATURES}
    table = models.scorecard.score(columns)
    terms = _terms(handlers, context, rows)
    logit = table.logit
    for column in terms.values():
        logit = logit + np.nan_to_num(np.array(column, dtype=float))
    ours = models.scorecard.scaling.points(logit)
    full = {**columns, **terms}
    onnx = export_scorecard(models.scorecard, version="1", sources=True)
    ways = {
        "API": _by_api(handlers, context, rows),
        "batch, CSV": _by_csv(handlers, context, rows),
        "batch, Arrow": _by_arrow(handlers, context, rows),
        "JSON": _by_json(models, full),
        "SQL (SQLite)": _by_sqlite(models, full),
        "ONNX": _rounded(score_onnx(onnx, full)["points"]),
    }
    alone = {
        "pandas": _rounded(models.scorecard.score(pd.DataFrame(columns)).points),
        "polars": _rounded(models.scorecard.score(columns_of(pl.DataFrame(columns))).points),
        "Arrow": _rounded(models.scorecard.score(columns_of(pa.table(columns))).points),
    }
    return {name: _difference(found, ours) for name, found in ways.items()} | {
        name: _difference(found, table.points) for name, found in alone.items()
    }


def _difference(found: tuple[Array, Array], ours: Array) -> Difference:
    rounded, exact = found
    return Difference(int((rounded != np.rint(ours)).sum()), float(np.abs(exact - ours).max()))


def _terms(
    handlers: Mapping[str, Any], context: Context, rows: Sequence[schemas.ScoreRequest]
) -> dict[str, list[float | None]]:
    """The terms of each row's customer as columns; None for a source that does not count."""
    customers = {row.customer for row in rows if row.customer is not None}
    asked = {c: handlers["sources"](SourcesRequest(customer=c), context).parts for c in customers}
    told = {c: [part.logit if part.state == "used" else None for part in parts] for c, parts in asked.items()}
    nobody = [None] * len(TERM_COLUMNS)
    return {name: [told.get(row.customer or "", nobody)[i] for row in rows] for i, name in enumerate(TERM_COLUMNS)}


def points_of_json(table: Mapping[str, Any], values: Mapping[str, Any]) -> float:
    """Unrounded points by the rule that the exported table states; as any other language would compute them."""
    logit = table["base_logit"]
    for feature in table["features"]:
        logit += _part(feature, values[feature["name"]])["logit"]
    for name in table.get("sources", ()):
        logit += values.get(name) or 0.0
    return float(table["scale"]["offset"] - table["scale"]["factor"] * logit)


def _part(feature: Mapping[str, Any], value: Any) -> Any:
    if value is None:
        return feature["missing"]
    if feature["kind"] == "numeric":
        return next(b for b in feature["bins"] if b["high"] is None or value < b["high"])
    return next(b for b in feature["bins"] if value in b["categories"])


def _by_api(handlers: Mapping[str, Any], context: Context, rows: Sequence[schemas.ScoreRequest]) -> tuple[Array, Array]:
    answers = []

    def record(entries: Sequence[tuple[Context, Decision]], session: Any) -> None:
        context.record(*(decision for _, decision in entries), session=session)

    for start in range(0, len(rows), GROUP):
        asked = [(row, context) for row in rows[start : start + GROUP]]
        answers += [json.loads(answer) for answer in handlers["score"].answer_all(asked, record)]
    return np.array([a["points"] for a in answers], float), np.array([a["points_exact"] for a in answers], float)


def _by_csv(handlers: Mapping[str, Any], context: Context, rows: Sequence[schemas.ScoreRequest]) -> tuple[Array, Array]:
    out = io.StringIO(newline="")
    dumped = [row.model_dump(mode="json", exclude={"application_id"}) for row in rows]
    writer = csv.DictWriter(out, list(dumped[0]))
    writer.writeheader()
    writer.writerows(dumped)
    content = _batch(handlers, context, out.getvalue().encode())
    answers = list(csv.DictReader(io.StringIO(content.decode())))
    return np.array([a["points"] for a in answers], float), np.array([a["points_exact"] for a in answers], float)


def _by_arrow(
    handlers: Mapping[str, Any], context: Context, rows: Sequence[schemas.ScoreRequest]
) -> tuple[Array, Array]:
    out = io.BytesIO()
    table = pa.Table.from_pylist([row.model_dump(mode="json", exclude={"application_id"}) for row in rows])
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    answers = pa.ipc.open_stream(_batch(handlers, context, out.getvalue())).read_all()
    return answers["points"].to_numpy().astype(float), answers["points_exact"].to_numpy()


def _batch(handlers: Mapping[str, Any], context: Context, content: bytes) -> bytes:
    file = UploadedFile(filename="applications", content=content)
    return b"".join(handlers["score_batch"](schemas.BatchRequest(file=file), context).chunks)


def _by_json(models: Models, columns: Mapping[str, list[Any]]) -> tuple[Array, Array]:
    table = json.loads(export_json(models.scorecard, version="1", sources=True))
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return _rounded(np.array([points_of_json(table, row) for row in rows]))


def _by_sqlite(models: Models, columns: Mapping[str, list[Any]]) -> tuple[Array, Array]:
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE applications ({', '.join(columns)})")
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO applications VALUES ({marks})", zip(*columns.values(), strict=True))
    query = export_sql(models.scorecard, version="1", sources=True).decode()
    found = np.array(connection.execute(f"SELECT points, points_exact FROM ({query})").fetchall(), dtype=float)
    return found[:, 0], found[:, 1]


def _rounded(points: Array) -> tuple[Array, Array]:
    return np.rint(points), points


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def main() -> None:
    """Print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        registry = FileRegistry(Path(home) / "registry")
        register_shipped(registry)
        with open_finance(Path(home)) as finance:
            report(finance, registry, asked.rows, asked.seed)


def with_customers(
    sessions: sessionmaker[Session],
    registry: ModelRegistry,
    tenant: str,
    rows: Sequence[schemas.ScoreRequest],
    *,
    seed: int,
) -> list[schemas.ScoreRequest]:
    """Half of the rows with a simulated customer, of whom a random document check is filed."""
    rng = np.random.default_rng(seed)
    customers = [f"sim-{seed}-{i:06}" for i in range(NUM_CUSTOMERS)]
    store = open_stores(sessions, registry).sources
    with sessions.begin() as session:
        for customer in customers:
            store.file(session, tenant, customer, "document", rng.uniform(size=len(DOCUMENT)), reads=RULES)
    named = rng.integers(0, 2 * NUM_CUSTOMERS, len(rows)).tolist()
    return [
        row.model_copy(update={"customer": customers[i] if i < NUM_CUSTOMERS else None})
        for row, i in zip(rows, named, strict=True)
    ]


def report(finance: Finance, registry: ModelRegistry, count: int, seed: int) -> None:
    """One line a way."""
    rows = random_applications(count, seed=seed, models=finance.models)
    rows = with_customers(finance.sessions, registry, finance.context.tenant, rows, seed=seed)
    print(f"{count:,} random applications, seed {seed}; against Scorecard.score")
    for name, found in largest_differences(finance.models, finance.handlers, finance.context, rows).items():
        print(f"{name:14} rounded points differ in {found.rounded} rows; unrounded by {found.exact:.2g} at most")


if __name__ == "__main__":
    main()
