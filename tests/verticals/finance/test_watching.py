"""What was scored of late is told as counts beside the development sample's; other tenants and times are left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.verticals.finance.conftest import FolderRegistry
from verticals.contract import Context, Resources, UploadedFile
from verticals.finance import VERTICAL, schemas
from verticals.finance.inputs import KEEP_EVERY_S, FinanceInputs, InputCounts
from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.tables import FinanceDecision
from verticals.finance.watching import watch
from verticals.watched import Distribution, Period

NOW = datetime.now(UTC)
PERIOD = Period(("bank",), NOW - timedelta(days=35), NOW - timedelta(days=7), NOW + timedelta(hours=1))
STEADY = {name: value for name, value in VERTICAL.operations[0].examples["steady"].items() if name != "application_id"}


@pytest.fixture
def resources(registry: FolderRegistry, make_resources: Callable[[Any], Resources]) -> Resources:
    return make_resources(registry)


def row(n: int, points: int, decision: str, *, days_ago: float = 1, tenant: str = "bank") -> FinanceDecision:
    return FinanceDecision(
        **{"id": n, "tenant": tenant, "application_id": f"a-{n}", "points": points, "prob_default": 0.1},
        **{"decision": decision, "model_version": "m", "policy_version": "p"},
        created_at=NOW - timedelta(days=days_ago),
    )


def found(resources: Resources) -> dict[str, Distribution]:
    return {one.name: one for one in watch(resources, PERIOD).distributions}


def test_points_and_decisions_of_the_period_and_the_tenants_are_counted(resources: Resources) -> None:
    with resources.sessions.begin() as session:
        session.add_all([row(1, 100, "decline"), row(2, 900, "approve"), row(3, 900, "approve", days_ago=20)])
        session.add_all([row(4, 900, "refer", tenant="other"), row(5, 900, "refer", days_ago=60)])

    points, decision = found(resources)["points"], found(resources)["decision"]

    assert (points.now[0], points.now[-1], sum(points.now)) == (1, 1, 2)
    assert sum(points.reference) == 1000
    assert max(points.reference) < 200  # tenths of the development sample
    counts = dict(zip(decision.bins, zip(decision.reference, decision.now, strict=True), strict=True))
    assert counts == {"approve": (1, 1), "refer": (0, 0), "decline": (0, 1)}


def test_fields_of_scored_applications_and_files_fall_into_the_scorecards_bins(
    resources: Resources, context: Context
) -> None:
    handlers = VERTICAL.build(resources)
    handlers["score"](schemas.ScoreRequest(**STEADY), context)  # type: ignore[arg-type]
    lines = [",".join(STEADY), *[",".join(map(str, STEADY.values()))] * 3]
    file = UploadedFile(filename="a.csv", content="\n".join(lines).encode(), media_type="text/csv")
    list(handlers["score_batch"](schemas.BatchRequest(file=file), context).chunks)  # type: ignore[union-attr]

    fields = {name: one for name, one in found(resources).items() if one.side == "input"}

    assert "checking_status" in fields
    assert {sum(one.now) for one in fields.values()} == {4}
    assert {max(one.now) for one in fields.values()} == {4}
    assert {sum(one.reference) for one in fields.values()} == {1000}
    assert {one.bins[-1] for one in fields.values()} == {"Not known"}


def test_counts_are_kept_now_and_then(resources: Resources) -> None:
    class Tallies:
        models: Any = type("Models", (), {"version": "m@1"})

        def take_tallies(self) -> dict[str, list[int]]:
            return {"age_years": [1, 2]}

    clock = iter([0.0, KEEP_EVERY_S - 1, KEEP_EVERY_S + 1])
    counts, kept = InputCounts(resources.sessions, lambda: next(clock)), []
    for _ in range(3):
        with resources.sessions.begin() as session:
            counts.keep_due(session, "bank", Tallies())
            kept.append(session.query(FinanceInputs).count())

    assert kept == [1, 1, 2]


def test_what_people_decided_otherwise_is_feedback(resources: Resources) -> None:
    assert watch(resources, PERIOD).feedback == ()
    with resources.sessions.begin() as session:
        session.add_all([row(n, 500, "refer") for n in range(1, 5)])
        session.add(
            FinanceOverride(
                **{"tenant": "bank", "override_id": "o", "scoring_id": 2, "application_id": "a-2"},
                **{"automatic": "refer", "decision": "approve", "direction": "referral", "reason": "M01", "text": ""},
                **{"state": "in_force", "decided_by": "a", "decided_at": NOW},
            )
        )

    (overridden,) = watch(resources, PERIOD).feedback

    assert (overridden.value, overridden.n, overridden.higher_is_better) == (0.25, 4, False)


def test_nothing_is_told_where_no_scorecard_is_registered(
    tmp_path: Any, make_resources: Callable[[Any], Resources]
) -> None:
    assert watch(make_resources(FolderRegistry(tmp_path)), PERIOD).distributions == ()
