"""A recorder of steps that needs no GPU."""

from __future__ import annotations

from collections.abc import Callable


class FakeRecorder:
    """A graph is the function itself, launched again."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, run: Callable[[], None]) -> Callable[[], object]:
        self.recorded += 1
        run()
        return run
