"""Changes to a model that wait for a moment between two steps. Ignores what they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any


class Changes:
    """Asked for by any thread, made by the engine's; whoever asks holds the engine's lock."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[None], Callable[[Any], str | None]]] = []

    def ask(self, change: Callable[[Any], str | None]) -> Future[None]:
        """Queue a change; its result comes when it is in force."""
        done: Future[None] = Future()
        self._waiting.append((done, change))
        return done

    def apply(self, runner: Any, *, check: Callable[[], None]) -> Iterator[str]:
        """Make all that wait, unless `check` raises; gives each new version, to be put in force before the next."""
        waiting, self._waiting = self._waiting, []
        for done, change in waiting:
            try:
                check()
                version = change(runner)
            except Exception as error:  # noqa: BLE001 - handed to who asked for it
                done.set_exception(error)
                continue
            if version is not None:
                yield version
            done.set_result(None)
