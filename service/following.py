"""Opens the rollouts as they stand, and lets this process follow the others. Ignores what a step is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from service.audit import AuditLog
from service.editions import Live, LiveVertical
from service.registry import FileRegistry
from service.rollouts import Rollouts, sound_versions
from verticals.contract import Handler, Resources, Vertical

if TYPE_CHECKING:
    from service.live_core import LiveCore

FOLLOW_S = 1.0
_log = structlog.get_logger()


def open_rollouts(
    verticals: Mapping[str, Vertical],
    resources: Resources,
    registry: FileRegistry,
    audit: AuditLog,
    core: LiveCore | None = None,
) -> tuple[Rollouts, Mapping[str, Mapping[str, Handler]]]:
    """The rollouts as they stand, and every vertical's handlers, which follow them; a core on a server follows none."""
    live = {
        name: LiveVertical(vertical, resources, registry, sound_versions(registry, name))
        for name, vertical in verticals.items()
        if vertical.models
    }
    lives: Mapping[str, Live] = {**live, **({core.name: core} if core else {})}
    rollouts = Rollouts(lives, registry, resources.sessions, audit)
    rollouts.refresh()
    built = {name: vertical.build(resources) for name, vertical in verticals.items() if name not in live}
    return rollouts, {name: live[name].handlers if name in live else built[name] for name in verticals}


class Follower:
    """A thread that lets this process follow the others."""

    def __init__(self, refresh: Callable[[], None]) -> None:
        self._refresh, self._stopped = refresh, threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def start(self) -> None:
        """Begin, and go on until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look at hand."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(FOLLOW_S):
            try:
                self._refresh()
            except Exception as error:  # noqa: BLE001  (database or folder are away, another process was first)
                _log.warning("rollouts cannot be followed", error=type(error).__name__)
