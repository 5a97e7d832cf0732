"""A thousand random changes to the stored rows of a signed report, in any column: every one is found on reading."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from verticals.contract import Unavailable
from verticals.medical.graph_probes import random_graph
from verticals.medical.probes import phantom, radiograph
from verticals.medical.study_probes import versions
from verticals.medical.tables import MedicalReportHead, MedicalReportVersion, add_report, get_report

MUTATIONS = 1000
TENANT = "hospital"
OTHER_STATES = {"PRELIMINARY": "EDITED", "EDITED": "PRELIMINARY", "FINAL": "AMENDED", "AMENDED": "FINAL"}
TABLES = (MedicalReportVersion.__table__, MedicalReportHead.__table__)


@pytest.fixture
def reports(desk: Any) -> list[Any]:
    """Each version of one amended report whose findings have sizes and regions, stored."""
    film = radiograph(phantom(0, size=64))
    graph = next(g for g in (random_graph(s, images=[film]) for s in range(99)) if _is_rich(g))
    chain = versions(graph)
    with desk.resources.sessions() as session:
        for report in chain:
            add_report(session, TENANT, report)
        session.commit()
    return chain


def _is_rich(graph: Any) -> bool:
    findings = graph.findings
    return len(findings) > 3 and any(f.measurements and f.regions and f.side and f.prob for f in findings)


def test_every_change_to_a_stored_row_is_detected(desk: Any, reports: list[Any]) -> None:
    rng = np.random.default_rng(0)
    found, columns = 0, set()
    with desk.resources.sessions() as session:
        rows = [(table, dict(row)) for table in TABLES for row in session.execute(select(table)).mappings()]
        while found < MUTATIONS:
            table, row = rows[rng.integers(len(rows))]
            column = str(rng.choice(list(row)))
            changed = _changed(column, row[column], reports[0], rng)
            with session.begin_nested() as changes:
                try:
                    session.execute(update(table).where(*_key(table, row)).values({column: changed}))
                except (IntegrityError, DataError):  # the database's own checks refuse it: not counted
                    changes.rollback()
                    continue
                session.expire_all()
                for wanted in ({"report_id": reports[0].report_id}, {"study_id": reports[0].study_id}):
                    with pytest.raises(Unavailable, match="altered outside this program"):
                        get_report(session, TENANT, **wanted)
                changes.rollback()
            found += 1
            columns.add((table.name, column))
        session.expire_all()

        assert get_report(session, TENANT, report_id=reports[0].report_id) == reports[-1]
    assert len(columns) == sum(len(table.columns) for table in TABLES)


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_versions_that_are_taken_away_from_the_end_are_missed(desk: Any, reports: list[Any], last: int) -> None:
    table = MedicalReportVersion.__table__
    with desk.resources.sessions() as session:
        session.execute(delete(table).where(table.c.version >= last))

        with pytest.raises(Unavailable, match="altered outside this program"):
            get_report(session, TENANT, report_id=reports[0].report_id)


def test_a_report_without_its_head_and_one_with_another_study_s_version_are_found(
    desk: Any, reports: list[Any]
) -> None:
    heads, rows = MedicalReportHead.__table__, MedicalReportVersion.__table__
    with desk.resources.sessions() as session:
        session.execute(delete(heads))
        with pytest.raises(Unavailable, match="altered outside this program"):
            get_report(session, TENANT, study_id=reports[0].study_id)
        session.rollback()

        row = dict(session.execute(select(rows).where(rows.c.version == 1)).mappings().one())
        session.execute(insert(rows).values(row | {"version": 9}))
        with pytest.raises(Unavailable, match="altered outside this program"):
            get_report(session, TENANT, report_id=reports[0].report_id)


def _key(table: Any, row: dict[str, Any]) -> list[Any]:
    return [column == row[column.name] for column in table.primary_key]


def _changed(column: str, value: Any, report: Any, rng: np.random.Generator) -> Any:
    if column == "state":
        return OTHER_STATES[value]
    if column == "signed_at" and value is None:
        return report.created_at
    return _mutated(value, rng)


def _mutated(value: Any, rng: np.random.Generator) -> Any:
    """Another value of the same type; of JSON, one random leaf, key or item changed."""
    match value:
        case bool():
            return not value
        case int():
            return value + int(rng.integers(1, 9))
        case float():
            return value * 1.0000001
        case datetime():
            return value + timedelta(microseconds=int(rng.integers(1, 10**9)))
        case str() if value:
            at = int(rng.integers(len(value)))
            letter = chr(ord(value[at]) ^ 1)
            return str(rng.choice([value[:at] + letter + value[at + 1 :], value[:at] + value[at + 1 :], value + "x"]))
        case dict() if value:
            key = str(rng.choice(list(value)))
            rest = {k: v for k, v in value.items() if k != key}
            return (rest, value | {"more": 1}, value | {key: _mutated(value[key], rng)})[
                rng.choice(3, p=(0.1, 0.1, 0.8))
            ]
        case list() if value:
            at = int(rng.integers(len(value)))
            longer, shorter = [*value, value[at]], value[:at] + value[at + 1 :]
            inner = [*value[:at], _mutated(value[at], rng), *value[at + 1 :]]
            return (longer, shorter, inner)[rng.choice(3, p=(0.1, 0.1, 0.8))]
        case _:
            return "x"  # what was empty holds something now
