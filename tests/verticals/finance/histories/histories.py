"""Random histories for the tests of this folder: empty ones, single events, missing values, equal times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np

from verticals.finance.histories.events import Event
from verticals.finance.histories.vocabulary import Category, Channel, Kind

NOW = datetime(2026, 6, 30, tzinfo=UTC)


def random_history(rng: np.random.Generator, *, longest: int = 40) -> list[Event]:
    """Events before `NOW` or, now and then, after it."""
    count = int(rng.choice([0, 1, 2, int(rng.integers(3, longest + 1))]))
    found = []
    for i in range(count):
        day = rng.integers(-2, 200) if rng.random() < 0.8 else 10  # some at the same second
        line = rng.random() < 0.7
        found.append(
            Event(
                event_id=f"e{i}",
                at=NOW - timedelta(days=int(day), seconds=0 if day == 10 else int(rng.integers(0, 86_400))),
                kind=rng.choice(list(Kind)),
                category=rng.choice(list(Category)) if rng.random() < 0.5 else None,
                channel=rng.choice(list(Channel)) if rng.random() < 0.5 else None,
                amount=None if rng.random() < 0.2 else Decimal(int(rng.choice([0, 1, rng.integers(1, 10**8)]))) / 100,
                balance=Decimal(int(rng.integers(-(10**5), 10**7))) / 100 if line else None,
                credit_limit=Decimal(int(rng.choice([0, rng.integers(1, 10**7)]))) / 100 if line else None,
            )
        )
    return found
