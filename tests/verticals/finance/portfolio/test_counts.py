"""What the database counts of a time, against the same counted one application after the other."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.portfolio import counts
from verticals.finance.portfolio.counts import Period
from verticals.finance.portfolio.tables import FinanceOutcome
from verticals.finance.tables import FinanceDecision

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
BANK = Period("bank", START, END)
JANUARY = 12 * 56


def decision(
    n: int, application: str, decided: str, at: datetime, *, points: int = 500, tenant: str = "bank"
) -> FinanceDecision:
    return FinanceDecision(
        id=n,
        tenant=tenant,
        application_id=application,
        points=points,
        prob_default=0.25,
        decision=decided,
        model_version="m@1",
        policy_version="p",
        created_at=at,
    )


def outcome(application: str, *, defaulted: bool, day: date) -> FinanceOutcome:
    return FinanceOutcome(
        tenant="bank", application_id=application, defaulted=defaulted, observed_on=day, actor="a", created_at=END
    )


def override(n: int, scoring: FinanceDecision, decided: str, *, state: str = "in_force") -> FinanceOverride:
    return FinanceOverride(
        tenant="bank",
        override_id=f"o-{n}",
        scoring_id=scoring.id,
        application_id=scoring.application_id,
        automatic=scoring.decision,
        decision=decided,
        direction="low_side",
        reason="M01",
        text="made up",
        state=state,
        decided_by="a",
        decided_at=END + timedelta(minutes=n),
    )


def test_a_credit_is_as_old_as_whole_months_have_passed(sessions: sessionmaker[Session]) -> None:
    approved = datetime(2026, 1, 15, 23, 30, tzinfo=UTC)
    days = {"a": date(2026, 3, 14), "b": date(2026, 4, 15), "c": date(2026, 1, 3), "d": None}
    with sessions.begin() as session:
        session.add_all(decision(n, name, "approve", approved) for n, name in enumerate(days, start=1))
        session.add_all(outcome(name, defaulted=name == "a", day=day) for name, day in days.items() if day)
    with sessions() as session:
        found = counts.granted(session, BANK)

    assert {(one.age, one.defaulted): one.num for one in found} == {
        (1, True): 1,
        (3, False): 1,
        (0, False): 1,
        (None, None): 1,
    }
    assert {one.month for one in found} == {JANUARY}


def test_what_a_person_decided_last_and_holds_is_what_was_granted(sessions: sessionmaker[Session]) -> None:
    made = [decision(n, f"a-{n}", "decline", START) for n in range(1, 5)]
    with sessions.begin() as session:
        session.add_all(made)
        session.flush()
        session.add_all([override(1, made[0], "approve"), override(2, made[1], "approve", state="proposed")])
        session.add_all([override(3, made[2], "approve"), override(4, made[2], "decline")])
    with sessions() as session:
        found = counts.granted(session, BANK)

    assert sum(one.num for one in found) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_counts_are_those_of_the_rows_one_by_one(sessions: sessionmaker[Session], seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        decision(
            n,
            f"a-{rng.randrange(60)}",
            rng.choice(["approve", "refer", "decline"]),
            START + timedelta(hours=rng.randrange(-100, 24 * 100)),
            points=rng.randrange(480, 520),
            tenant="bank" if rng.random() < 0.9 else "other",
        )
        for n in range(1, 200)
    ]
    known = {
        f"a-{i}": (rng.random() < 0.4, date(2026, 4, 1) + timedelta(days=rng.randrange(200))) for i in range(0, 60, 2)
    }
    mine = [r for r in rows if r.tenant == "bank" and START <= r.created_at < END]
    with sessions.begin() as session:
        session.add_all(rows)
        session.add_all(outcome(name, defaulted=bad, day=day) for name, (bad, day) in known.items())
    with sessions() as session:
        decided, moves = counts.decided(session, BANK), counts.moves(session, BANK)
        granted, total = counts.granted(session, BANK), counts.count(session, BANK)
        by_decision = counts.by_decision(session, BANK)

    assert total == len(mine)
    assert by_decision == Counter(r.decision for r in mine)
    assert {one[:3]: one.num for one in decided} == Counter((_month(r), r.decision, r.points) for r in mine)
    assert sum(one.prob_sum for one in decided) == pytest.approx(0.25 * len(mine))
    scorings: dict[str, list[FinanceDecision]] = {}
    for row in mine:
        scorings.setdefault(row.application_id, []).append(row)
    assert moves == Counter((s[0].decision, s[-1].decision) for s in scorings.values() if len(s) > 1)
    kept: Counter[tuple[int, bool | None]] = Counter()
    for one in granted:
        kept[one.month, one.defaulted] += one.num
    last = [r for s in scorings.values() for r in [r for r in s if r.decision == "approve"][-1:]]
    assert kept == Counter((_month(r), known.get(r.application_id, (None,))[0]) for r in last)


def _month(row: FinanceDecision) -> int:
    return 12 * (row.created_at.year - 1970) + row.created_at.month - 1
