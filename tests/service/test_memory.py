"""While it serves, the interpreter looks for garbage less often, and still finds it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from service.memory import YOUNG, settle


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_cycles_are_found_but_not_at_once() -> None:
    settle()
    left = weakref.ref(Node())
    few: list[list[int]] = [[] for _ in range(YOUNG // 2)]
    waits = left() is not None
    many: list[list[int]] = [[] for _ in range(YOUNG)]

    assert waits
    assert left() is None
    assert len(few) < len(many)


def test_what_was_built_before_is_not_walked_again() -> None:
    settle()

    assert gc.get_freeze_count() > 10_000
