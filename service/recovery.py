"""At start, in the background: every vertical finishes what a stopped process left. Ignores what that is."""

from __future__ import annotations

import threading
from functools import partial

import structlog

from service.kit import Kit
from verticals.contract import Context

ACTOR = "service"  # in the audit trail, where no key asked
STOP_TIMEOUT_S = 5.0
_log = structlog.get_logger()


class Recovery:
    """One look at what is left, in a thread of its own: the API answers meanwhile."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._thread = threading.Thread(target=self._run, name="recovery", daemon=True)

    def start(self) -> None:
        """Look once."""
        self._thread.start()

    def stop(self) -> None:
        """Wait a little for its end; what is then still left, the next start finishes."""
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        for name, vertical in self._kit.verticals.items():
            if vertical.recover is None:
                continue
            try:
                finished = vertical.recover(self._kit.resources, self._context)
            except Exception as error:  # noqa: BLE001  (the service serves, whatever one vertical could not finish)
                _log.warning("recovery failed", vertical=name, error=type(error).__name__)
            else:
                _log.info("recovered", vertical=name, finished=finished)

    def _context(self, tenant: str) -> Context:
        who = {"tenant": tenant, "actor": ACTOR, "request_id": "recovery"}
        return Context(**who, record=partial(self._kit.audit.record, who=who))
