"""A thread that works through a queue, and tries again what failed. Ignores what the work is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from service.webhooks.jobs import Job, JobQueue
from verticals.contract import TriviumError

POLL_S = 1.0  # how soon another process's jobs, and those to be tried again, are seen
STOP_TIMEOUT_S = 5.0
_log = structlog.get_logger()


class Worker:
    """Takes jobs one by one. `handle` ends each job itself, in the transaction of what it does."""

    def __init__(self, queue: JobQueue, handle: Callable[[Job], None]) -> None:
        self._queue, self._handle = queue, handle
        self._wanted, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)

    def start(self) -> None:
        """Begin, and go on until `stop`."""
        self._thread.start()

    def wake(self) -> None:
        """There is a new job."""
        self._wanted.set()

    def stop(self) -> None:
        """Finish the job at hand if that is quick, and end. What is left waits for the next start."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join(STOP_TIMEOUT_S)

    def work_one(self) -> bool:
        """Do the next job that is due; False if there is none."""
        job = self._queue.take()
        if job is None:
            return False
        try:
            self._handle(job)
        except Exception as error:  # noqa: BLE001  (whatever it is, the job is tried again)
            known = isinstance(error, TriviumError | SQLAlchemyError)
            again = self._queue.failed(job)
            _log.warning(
                "a webhook job failed",
                channel=job.channel,
                attempts=job.attempts,
                given_up=not again,
                error=type(error).__name__,
                exc_info=None if known else error,
            )
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wanted.clear()
            try:
                while not self._stopped.is_set() and self.work_one():
                    pass
            except SQLAlchemyError as error:  # the database is away; its jobs are not lost
                _log.warning("webhook jobs cannot be read", error=type(error).__name__)
            self._wanted.wait(POLL_S)
