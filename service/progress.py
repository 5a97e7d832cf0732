"""Progress on standard error: bars on a terminal, one line a step elsewhere. Ignores what is being done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from verticals.contract import Progress as OnProgress


@contextmanager
def show_progress() -> Iterator[OnProgress]:
    """A callback `(what, share)`; steps that end at once leave no trace."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bars:
            tasks: dict[str, TaskID] = {}

            def draw(what: str, share: float) -> None:
                if what not in tasks:
                    if share >= 1.0:
                        return
                    tasks[what] = bars.add_task(what, total=1.0)
                bars.update(tasks[what], completed=share)

            yield draw
        return
    started: dict[str, float] = {}

    def tell(what: str, share: float) -> None:
        if what not in started and share < 1.0:
            started[what] = time.monotonic()
            console.print(f"{what} ...", highlight=False)
        elif what in started and share >= 1.0:
            console.print(f"{what}: done in {time.monotonic() - started.pop(what):.1f} s", highlight=False)

    yield tell
