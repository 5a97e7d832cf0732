"""What is declared is what is built."""

from __future__ import annotations

from tests.verticals.support.world import World
from verticals.support import VERTICAL


def test_every_operation_has_its_handler(world: World) -> None:
    assert set(world.handlers) == {operation.name for operation in VERTICAL.operations}
    assert all(callable(handler) for handler in world.handlers.values())
