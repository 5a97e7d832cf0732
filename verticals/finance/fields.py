"""What an application's fields may hold, as tables for whole columns. Derived from the schema, so that both agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from verticals.finance import schemas

ID, CUSTOMER = "application_id", "customer"
REQUIRED = tuple(schemas.Application.model_fields)


def _categories(name: str) -> tuple[str, ...]:
    kind = get_args(schemas.Application.model_fields[name].annotation)[0]
    return tuple(str(member) for member in kind)


def _limits(name: str) -> tuple[int, int]:
    found = schemas.Application.model_fields[name].metadata
    [low], [high] = ([getattr(rule, end) for rule in found if hasattr(rule, end)] for end in ("ge", "le"))
    return int(low), int(high)


CATEGORIES: Mapping[str, tuple[str, ...]] = {name: _categories(name) for name in REQUIRED if name in schemas.LABELS}
LIMITS: Mapping[str, tuple[int, int]] = {name: _limits(name) for name in REQUIRED if name not in schemas.LABELS}
"""Categories of each categorical field; lowest and highest value of each numeric one."""
