"""The same applicant gets the same points everywhere: API, table, pandas, polars, Arrow, JSON, SQL, ONNX."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import create_engine, text

from benchmarks.finance_setting import random_applications
from benchmarks.parity import largest_differences, points_of_json, with_customers
from tests.databases import postgresql_url
from tests.verticals.finance.applications import applications, body
from tests.verticals.finance.conftest import FolderRegistry
from verticals.contract import Artifact, Context, Handler, InvalidInput, Resources
from verticals.finance import schemas, serving_schemas
from verticals.finance.data import FEATURES
from verticals.finance.exports.card_json import export_json
from verticals.finance.exports.onnx_graph import export_scorecard, score_onnx
from verticals.finance.exports.sql import export_sql, round_half_even
from verticals.finance.frames import columns_of
from verticals.finance.scoring import Models, load_models

ROWS = 300


def test_every_export_gives_the_same_points(models: Models, handlers: Mapping[str, Handler], context: Context) -> None:
    rows = random_applications(ROWS, seed=1, models=models)
    differences = largest_differences(models, handlers, context, rows)

    assert set(differences) >= {
        "API",
        "batch, CSV",
        "batch, Arrow",
        "JSON",
        "SQL (SQLite)",
        "ONNX",
        "pandas",
        "polars",
        "Arrow",
    }
    assert all(found.rounded == 0 and found.exact <= 1e-9 for found in differences.values()), differences


def test_every_export_counts_the_terms_of_sources(
    full_registry: FolderRegistry, resources: Resources, served: Mapping[str, Handler], context: Context
) -> None:
    models = load_models(full_registry)
    rows = random_applications(ROWS, seed=1, models=models)
    rows = with_customers(resources.sessions, full_registry, "bank", rows, seed=1)
    differences = largest_differences(models, served, context, rows)
    bare = models.scorecard.score({f.name: [getattr(r, f.name) for r in rows] for f in FEATURES}).points
    counted = [served["explain"](explain_of(row), context).points_exact for row in rows[:20]]

    assert counted != bare[:20].tolist()
    assert all(found.rounded == 0 and found.exact <= 1e-9 for found in differences.values()), differences


def explain_of(row: schemas.ScoreRequest) -> serving_schemas.ExplainRequest:
    return serving_schemas.ExplainRequest.model_validate(row.model_dump(exclude={"application_id"}))


def test_an_export_without_sources_has_no_input_for_them(models: Models) -> None:
    texts = [make(models.scorecard, version="1") for make in (export_json, export_sql)]

    assert not any(b"text_logit" in text for text in texts)
    assert b"text_logit" not in export_scorecard(models.scorecard, version="1")


def test_an_onnx_graph_scores_without_the_terms_as_with_terms_of_nothing(models: Models) -> None:
    graph = export_scorecard(models.scorecard, version="1", sources=True)
    rows = random_applications(50, seed=4, models=models)
    columns = {f.name: [r.model_dump(mode="json")[f.name] for r in rows] for f in FEATURES}
    bare = score_onnx(graph, columns)["points"]
    nothing = score_onnx(graph, columns | {"text_logit": [None] * 50})["points"]

    assert bare.tolist() == pytest.approx(models.scorecard.score(columns).points.tolist(), abs=1e-9)
    assert nothing.tolist() == bare.tolist()


def test_postgresql_gives_the_same_points(models: Models) -> None:
    rows = random_applications(ROWS, seed=2, models=models)
    frame = pd.DataFrame([r.model_dump(mode="json") for r in rows])
    ours = models.scorecard.score(frame)
    engine = create_engine(postgresql_url("postgres"))
    frame.assign(position=range(ROWS)).to_sql("applications", engine, if_exists="replace", index=False)
    query = export_sql(models.scorecard, version="1").decode()
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT points, points_exact FROM ({query}) q ORDER BY position")).all()
    engine.dispose()

    assert [f.points for f in found] == [round(p) for p in ours.points.tolist()]
    assert [f.points_exact for f in found] == ours.points.tolist()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(application=applications())
def test_the_json_table_scores_by_looking_up_and_adding(models: Models, application: schemas.ScoreRequest) -> None:
    table = json.loads(export_json(models.scorecard, version="1"))
    values = application.model_dump(mode="json")
    ours = models.scorecard.score({f.name: [values[f.name]] for f in FEATURES})

    assert points_of_json(table, values) == ours.points[0]


@pytest.mark.parametrize("bound", [7, 8, 15, 16, 17, 11.999, 12, 35.5, 36, 1381, 1382, 3913, 1e9])
def test_bounds_are_exact_in_sql(models: Models, bound: float) -> None:
    row = body(duration_months=bound, credit_amount_dm=bound)
    found = score_in_sqlite(models, row)

    assert found["points_exact"] == models.scorecard.score({k: [v] for k, v in row.items()}).points[0]


@pytest.mark.parametrize("nothing", [None, ""])
def test_sql_takes_null_and_empty_text_for_missing(models: Models, nothing: str | None) -> None:
    found = score_in_sqlite(models, body(savings=nothing, duration_months=None))
    ours = models.scorecard.score({k: [v] for k, v in body(savings=None, duration_months=None).items()})

    assert found["points_exact"] == ours.points[0]


def test_sql_gives_an_unseen_category_no_score(models: Models) -> None:
    found = score_in_sqlite(models, body(purpose="yacht"))

    assert (found["points"], found["prob_default"]) == (None, None)


def test_sql_rounds_ties_to_even_as_we_do() -> None:
    connection = sqlite3.connect(":memory:")
    ties = (0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 500.5, 501.5, 501.4999)
    query = f"SELECT {round_half_even('x')} FROM (SELECT ? AS x)"

    assert [connection.execute(query, [x]).fetchone()[0] for x in ties] == [round(x) for x in ties]


def test_a_table_with_a_quote_in_its_name_is_quoted(models: Models) -> None:
    assert '"a""b"' in export_sql(models.scorecard, version="1", table='a"b').decode()


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, lambda c: pa.table(c).to_batches()[0]])
def test_frames_of_every_kind_become_the_same_columns(make: Any) -> None:
    columns = {"savings": ["unknown_or_none", None], "duration_months": [12, 24]}

    assert columns_of(make(columns)) == columns


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"frame: must be a pandas or polars DataFrame.*'int'"):
        columns_of(3)


@pytest.mark.parametrize(
    ("form", "media_type", "begins"),
    [("json", "application/json", b"{"), ("sql", "application/sql", b"--"), ("onnx", "application/octet-stream", b"")],
)
def test_the_operation_gives_a_file_of_each_format(
    handlers: Mapping[str, Handler], context: Context, form: Any, media_type: str, begins: bytes
) -> None:
    found = handlers["export"](serving_schemas.ExportRequest(format=form), context)

    assert isinstance(found, Artifact)
    assert found.media_type == media_type
    assert found.filename == f"scorecard.{form}"
    assert found.content.startswith(begins)


def score_in_sqlite(models: Models, row: dict[str, Any]) -> dict[str, Any]:
    """One row through the exported query."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    names = [f.name for f in FEATURES]
    connection.execute(f"CREATE TABLE applications ({', '.join(names)})")
    connection.execute(f"INSERT INTO applications VALUES ({', '.join('?' * len(names))})", [row[n] for n in names])
    return dict(connection.execute(export_sql(models.scorecard, version="1").decode()).fetchone())


def test_random_applications_hold_missing_values_and_bounds(models: Models) -> None:
    rows = random_applications(2000, seed=3, models=models)

    assert {r.savings for r in rows} >= {None}
    bounds = {b.low for f in models.scorecard.features for b in f.bins if f.name == "duration_months" and b.low}
    assert bounds <= {r.duration_months for r in rows}
