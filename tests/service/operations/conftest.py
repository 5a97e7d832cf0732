"""A database for alarms, and a clock that tests turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from service.operations.rules import Rule
from service.storage import make_sessions
from tests.databases import migrated_engine

START = datetime(2026, 11, 30, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So long after the start."""
    return START + timedelta(seconds=seconds)


def make_rule(**change: Any) -> Rule:
    """On above 10 after a minute, off below 5 after a minute."""
    given: dict[str, Any] = {
        **{"name": "queue", "signal": "waiting_requests", "side": "above", "severity": "warning"},
        **{"threshold": {"kind": "fixed", "on": 10, "off": 5}, "for_s": 60, "min_weight": 0},
    }
    return Rule.model_validate(given | change)


@pytest.fixture
def operations(tmp_path: Path) -> sessionmaker[Session]:
    """Sessions on a database."""
    return make_sessions(migrated_engine(tmp_path))
