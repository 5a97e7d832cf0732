"""The portfolio: outcomes kept or refused one by one, and what was decided over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import Recorder
from verticals.contract import Context, Handler, InvalidInput
from verticals.finance import VERTICAL, schemas
from verticals.finance.portfolio import summary
from verticals.finance.portfolio.counts import Granted
from verticals.finance.portfolio.schemas import OutcomesRequest, PortfolioRequest

EXAMPLES = next(o for o in VERTICAL.operations if o.name == "score").examples
STEADY = {name: value for name, value in EXAMPLES["steady"].items() if name != "application_id"}
TODAY = datetime.now(UTC).date()


@pytest.fixture
def ask(handlers: Mapping[str, Handler], context: Context) -> Callable[..., Any]:
    return lambda name, request: handlers[name](request, context)


def outcome(name: str, *, defaulted: bool = False, day: date = TODAY) -> dict[str, Any]:
    return {"application_id": name, "defaulted": defaulted, "observed_on": day.isoformat()}


def score(ask: Callable[..., Any], name: str, **changes: Any) -> schemas.ScoreResponse:
    found = ask("score", schemas.ScoreRequest.model_validate(body(application_id=name, **changes)))
    assert isinstance(found, schemas.ScoreResponse)
    return found


def record(ask: Callable[..., Any], *outcomes: dict[str, Any]) -> Any:
    return ask("record_outcomes", OutcomesRequest.model_validate({"outcomes": list(outcomes)}))


def test_outcomes_of_scored_applications_are_kept_and_the_others_named_with_the_remedy(ask: Callable[..., Any]) -> None:
    score(ask, "a-1")
    found = record(
        ask,
        outcome("a-1", defaulted=True),
        outcome("a-1"),
        outcome("never-scored"),
    )

    assert (found.kept, found.replaced) == (1, 0)
    assert [(one.index, one.rule.split(":")[0]) for one in found.refused] == [
        (1, "application_id"),
        (2, "application_id"),
    ]
    assert all(one.remedy for one in found.refused)


@pytest.mark.parametrize(("days", "rule"), [(1, "in the future"), (-400, "before the decision")])
def test_a_day_that_cannot_be_is_refused(ask: Callable[..., Any], days: int, rule: str) -> None:
    score(ask, "a-1")
    found = record(ask, outcome("a-1", day=TODAY + timedelta(days=days)))

    assert found.kept == 0
    assert rule in found.refused[0].rule


def test_a_later_report_replaces_the_earlier_one_and_both_are_audited(
    ask: Callable[..., Any], recorder: Recorder
) -> None:
    score(ask, "a-1", **STEADY)
    record(ask, outcome("a-1"))
    found = record(ask, outcome("a-1", defaulted=True))

    assert found.replaced == 1
    assert [vintage.defaults for vintage in ask("portfolio", PortfolioRequest()).vintages] == [1]
    told = [d.outcome for d in recorder.decisions if d.kind == "finance.outcomes"]
    assert told == [{"kept": 1, "defaults": 0, "replaced": 0}, {"kept": 1, "defaults": 1, "replaced": 1}]


def test_a_portfolio_counts_what_was_decided_moved_and_came_out(ask: Callable[..., Any]) -> None:
    decided = [score(ask, f"a-{i}", **STEADY | {"duration_months": 6 + i}) for i in range(6)]
    again = score(ask, "a-0")
    approved = [one.application_id for one in decided[1:] if one.decision == "approve"]
    record(ask, *(outcome(name, defaulted=name == approved[0]) for name in approved))
    found = ask("portfolio", PortfolioRequest())

    assert found.count == 7 == sum(month.count for month in found.months)
    assert sum(found.months[0].shares.values()) == pytest.approx(1)
    assert [(move.first, move.last, move.count) for move in found.moves] == [(decided[0].decision, again.decision, 1)]
    assert sum(one.count for one in found.bins) == 7
    assert sum(one.reference for one in found.bins) == 1_000
    [vintage] = found.vintages
    assert (vintage.known, vintage.defaults) == (len(approved), 1)
    assert vintage.low < vintage.default_rate < vintage.high
    assert vintage.by_age == [pytest.approx(1 / len(approved))]


def test_an_empty_portfolio_says_nothing_about_shift(ask: Callable[..., Any]) -> None:
    found = ask("portfolio", PortfolioRequest(first=date(2020, 1, 1), last=date(2020, 2, 1)))

    assert (found.count, found.shift, found.months, found.vintages) == (0, None, [], [])


def test_days_in_the_wrong_order_are_refused(ask: Callable[..., Any]) -> None:
    with pytest.raises(InvalidInput, match="first: must not be after"):
        ask("portfolio", PortfolioRequest(first=date(2026, 2, 1), last=date(2026, 1, 1)))


def test_scores_of_the_same_population_have_not_shifted_and_lower_ones_have() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(520, 35, 1_000)

    same, lower = (summary.shift(rng.normal(mean, 35, 800), reference) for mean in (520, 505))

    assert (same.grade, lower.grade) == ("green", "red")
    assert same.low <= same.psi <= same.high


def test_a_vintage_grows_older_month_by_month() -> None:
    cells = [(1, True, 1), (3, True, 1), (5, False, 1), (None, None, 1)]
    granted = [Granted(12 * 56, age, defaulted, count, prob_sum=0.1 * count) for age, defaulted, count in cells]

    [vintage] = summary.vintages(granted)

    assert vintage.by_age == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert (vintage.month, vintage.approved, vintage.known) == ("2026-01", 4, 3)
    assert vintage.expected == pytest.approx(0.1)
