"""Finance as the service builds it, without the language model: models in a registry, a database, an audit trail.

Shared by the finance benchmarks. Ignores HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.auth import KeyRing
from service.following import open_rollouts
from service.kit import Kit
from service.registry import FileRegistry
from service.settings import Settings
from service.storage import make_sessions, migrate, open_database
from verticals.contract import Context, Handler, Resources
from verticals.finance import VERTICAL, schemas
from verticals.finance.fields import CATEGORIES, LIMITS
from verticals.finance.scoring import CHALLENGER, SCORECARD, Models, load_models
from verticals.finance.train import train_challenger, train_scorecard

TENANT = "bench"
WHO = {"tenant": TENANT, "actor": "bench", "request_id": "bench"}


@dataclass(frozen=True)
class Finance:
    """What serves."""

    models: Models
    handlers: Mapping[str, Handler]
    sessions: sessionmaker[Session]
    audit: AuditLog
    context: Context


@contextmanager
def open_finance(home: Path) -> Iterator[Finance]:
    """Train what is not there yet (validated on two folds only: figures are not the subject), and open it."""
    registry = FileRegistry(home / "registry")
    for name, train in ((SCORECARD, train_scorecard), (CHALLENGER, train_challenger)):
        if registry.load(name) is None:
            files, card = train(lambda what, share: None, folds=2)
            registry.save(name, files, card)
    url = Settings(home=home).sqlalchemy_url
    migrate(url)
    database = open_database(url)
    sessions = make_sessions(database)
    audit = AuditLog(sessions)
    nothing: Any = None
    resources = Resources(nothing, nothing, nothing, registry, sessions, None)
    context = Context(**WHO, record=partial(audit.record, who=WHO))
    yield Finance(load_models(registry), VERTICAL.build(resources), sessions, audit, context)
    database.dispose()


def random_applications(count: int, *, seed: int, models: Models | None = None) -> list[schemas.ScoreRequest]:
    """Applications drawn evenly over all that the schema accepts, a tenth of the categories not known.

    With `models`, half of the numbers are drawn at the bounds of bins, just below and just above them.
    """
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {}
    for name, words in CATEGORIES.items():
        drawn = rng.integers(0, len(words), count)
        columns[name] = [None if none else words[i] for i, none in zip(drawn, rng.random(count) < 0.1, strict=True)]
    for name, (low, high) in LIMITS.items():
        values = rng.integers(low, high + 1, count)
        bounds = [
            int(b.low) for f in (models.scorecard.features if models else ()) if f.name == name for b in f.bins if b.low
        ]
        if bounds:
            near = rng.choice(bounds, count) + rng.integers(-1, 2, count)
            values = np.where(rng.random(count) < 0.5, np.clip(near, low, high), values)
        columns[name] = values.tolist()
    names = list(columns)
    return [schemas.ScoreRequest(**dict(zip(names, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def open_kit(home: Path) -> Kit:
    """The service's kit over a trained registry, with finance alone and no language model."""
    settings = Settings(home=home, requests_per_minute=100_000_000)
    migrate(settings.sqlalchemy_url)
    database = open_database(settings.sqlalchemy_url)
    sessions, registry = make_sessions(database), FileRegistry(home / "registry")
    nothing: Any = None
    engine: Any = SimpleNamespace(model_version="none")
    resources = Resources(engine, nothing, nothing, registry, sessions, None)
    audit = AuditLog(sessions)
    rollouts, handlers = open_rollouts({"finance": VERTICAL}, resources, registry, audit)
    return Kit(
        settings=settings,
        database=database,
        sessions=sessions,
        audit=audit,
        keys=KeyRing(sessions),
        registry=registry,
        resources=resources,
        verticals={"finance": VERTICAL},
        handlers=handlers,
        rollouts=rollouts,
        close=database.dispose,
    )
