"""Fakes for evaluation: a temporary database and suites made of given figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

from service.evals import tables  # noqa: F401  (registers the tables)
from service.storage import Base
from verticals.contract import Metric, Progress, Suite

MakeSuite = Callable[..., Suite]


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(f"sqlite:///{tmp_path / 'runs.db'}")
    Base.metadata.create_all(engine)
    yield sessionmaker(engine)
    engine.dispose()


@pytest.fixture
def make_suite() -> MakeSuite:
    def make(
        *metrics: Metric, name: str = "scorecard", dataset: str = "loans", error: BaseException | None = None
    ) -> Suite:
        def run(progress: Progress) -> tuple[Metric, ...]:
            progress("scoring", 0.5)
            if error is not None:
                raise error
            return metrics

        return Suite(name=name, dataset=dataset, split="test", solver="model", scorer="auc", run=run)

    return make
