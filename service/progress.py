"""Progress on standard error: a bar on a terminal, a line now and then elsewhere. Ignores what is being done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from verticals.contract import Progress as OnProgress

LINE_EVERY_S = 2.0  # what takes less needs no line


@contextmanager
def show_progress() -> Iterator[OnProgress]:
    """A callback `(what is being done, share of it done)`; the bar goes away at the end."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("Starting", total=1.0)
            yield lambda what, share: bars.update(task, description=what, completed=share)
        return
    told_s = time.monotonic()

    def tell(what: str, share: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= LINE_EVERY_S:
            told_s = time.monotonic()
            console.print(f"{what} ({share:.0%})", highlight=False)

    yield tell
