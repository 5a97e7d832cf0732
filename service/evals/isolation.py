"""Suites in a process of their own, so that one that hangs, dies or eats all memory ends alone. Ignores their figures.

One process serves a domain's suites in turn, since they share models. When it dies or overruns, the suite at hand has
failed, and the next suite gets a new process.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from service.errors import describe_error
from service.evals.runner import Journal, SuiteResult, run_suite, unmeasured
from verticals.contract import Metric, Progress, Suite, TriviumError

STOP_S = 5.0  # between asking a process to end and ending it
TELL_EVERY_S = 0.5


@dataclass(frozen=True)
class Declared:
    """The suites of a domain, opened where they run."""

    suites: Sequence[Suite]
    models: Mapping[str, str]  # name -> version
    count_tokens: Callable[[], int] = lambda: 0
    workers: int = 1  # cases scored at once


_BEGIN = "from service.evals.isolation import serve; serve(int(sys.argv[1]))"
OpenSuites = Callable[[], AbstractContextManager[Declared]]  # importable by name: another process calls it


class Broken(TriviumError):
    """The process of a domain's suites ended, or did not in time."""

    title = "Suite broken"


class ProcessBench:
    """A domain's suites in another process.

    Args:
        domain: Whose suites.
        open_suites: Opens them, there.
        memory_mb: The most memory that the process may take, MiB; None: what the machine has.
    """

    def __init__(self, domain: str, open_suites: OpenSuites, *, memory_mb: int | None = None) -> None:
        self.domain = domain
        self._open_suites, self._memory_mb = open_suites, memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def declare(self, *, timeout_s: float) -> tuple[list[Suite], Mapping[str, str]]:
        """The suites, without what runs them, and the models' versions.

        Raises:
            Broken: the process ended, overran, or could not open them.
        """
        ours, theirs = Pipe()
        command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {_BEGIN}", str(theirs.fileno())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[theirs.fileno()])  # noqa: S603
        theirs.close()
        self._connection = ours
        self._send((self.domain, self._open_suites, self._memory_mb))
        kind, content = self._receive(time.monotonic() + timeout_s, timeout_s)
        if kind == "broken":
            self.close()
            raise Broken(content)
        suites, models = content
        return suites, models

    def run(self, suite: Suite, *, journal: Journal, progress: Progress, timeout_s: float) -> SuiteResult:
        """Run a declared suite; a process that dies or overruns is its failure."""
        start_s = time.monotonic()
        try:
            if self._connection is None:
                self.declare(timeout_s=timeout_s)
            self._send((suite.name, dict(journal.known)))
            while True:
                kind, content = self._receive(start_s + timeout_s, timeout_s)
                if kind == "progress":
                    progress(*content)
                elif kind == "examples":
                    journal.keep(content)
                else:
                    result: SuiteResult = content
                    return result
        except (Broken, OSError) as error:
            reason, seconds = describe_error(error), time.monotonic() - start_s
            return unmeasured(self.domain, suite, status="failed", reason=reason, duration_s=seconds)

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _send(self, message: Any) -> None:
        assert self._connection is not None
        with suppress(ConnectionError):  # the process has ended: `_receive` says how
            self._connection.send(message)

    def _receive(self, until_s: float, timeout_s: float) -> tuple[str, Any]:
        assert self._connection is not None
        assert self._process is not None
        if not self._connection.poll(max(until_s - time.monotonic(), 0)):
            self.close()
            raise Broken(f"did not end within {timeout_s:.0f} s")
        try:
            message: tuple[str, Any] = self._connection.recv()
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
            code = self._process.poll()
            self.close()
            raise Broken(_explain(code)) from None
        return message


def _explain(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; perhaps it took all memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with exit code {exit_code}"


# --- the other process ----------------------------------------------------------------------------------------------


def serve(handle: int) -> None:
    """Run what is asked for over the connection, suite by suite, until it closes; the process does nothing else."""
    _end_with_parent()
    connection = Connection(handle)
    domain, open_suites, memory_mb = connection.recv()
    limit_memory(memory_mb)
    try:
        with open_suites() as declared:
            suites = {suite.name: suite for suite in declared.suites}
            connection.send(("declared", (bare(declared.suites), dict(declared.models))))
            while True:
                name, known = connection.recv()
                journal = Journal(known, lambda scored: connection.send(("examples", scored)))
                result = run_suite(
                    domain,
                    suites[name],
                    _teller(connection),
                    journal=journal,
                    workers=declared.workers,
                    count_tokens=declared.count_tokens,
                )
                connection.send(("result", result))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:  # noqa: BLE001  the reason belongs into the report
        connection.send(("broken", describe_error(error)))


def _teller(connection: Connection) -> Progress:
    told_s = 0.0

    def tell(what: str, share: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TELL_EVERY_S:
            told_s = time.monotonic()
            connection.send(("progress", (what, share)))

    return tell


def bare(suites: Sequence[Suite]) -> list[Suite]:
    """The suites without what runs them, for whom they are told."""
    return [replace(suite, run=_elsewhere) for suite in suites]


def _elsewhere(progress: Progress) -> list[Metric]:
    raise AssertionError("the suite runs in its own process")


def _end_with_parent() -> None:
    """A run that is killed leaves nobody behind, whatever the suite is doing: then standard input ends."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def limit_memory(memory_mb: int | None) -> None:
    """Bound this process' memory, and let the system end it before others when memory runs out (Linux)."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if memory_mb is not None:
        limit = memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
