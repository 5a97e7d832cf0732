"""Trouble around the service while customers ask: the database gone, the disk full, the clock wrong.

    python -m tests.fire.troubles [--only database disk files clock] [--seconds 30] [--prepared var/fire]

database  the PostgreSQL server is frozen (SIGSTOP), then goes on; then it is stopped (its processes killed), then
          started again: `--seconds` each. Frozen, requests wait and are shed; stopped, each is refused at once.
disk      the home lies on a file system of its own, which is filled to its last byte: SQLite, log and all (ENOSPC).
          A tmpfs; mounting it takes root.
files     no file may grow beyond 32 KiB (RLIMIT_FSIZE of the running process: EFBIG).
clock     libfaketime (Debian: faketime) moves the process's wall clock a day ahead, then two days back.

Before, meanwhile and afterwards three customers, one of each vertical, ask. Counted: answers, refusals that say when to
ask again, and anything else, which is an error; how long it took until the first answer after the trouble; `/livez` all
the while. At the end everything acknowledged must be there, and the audit chain whole.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.setting import machine
from tests import databases
from tests.fire.asking import Customer, Told
from tests.fire.kills import TENANT, look
from tests.fire.server import Server, options, running

DISK_MIB = 256
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class Customers:
    """One of each vertical, who ask until told to stop."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self._server, self.told, self.counts = server, Told(), Counter[str]()
        self.last_good_s = 0.0
        customer = Customer(http, self.told)
        asks: list[Callable[[], Awaitable[bool]]] = [customer.score, customer.read_study, customer.talk]
        self._tasks = [asyncio.create_task(self._ask(one)) for one in asks]
        self._tasks.append(asyncio.create_task(self._watch(http)))

    async def _ask(self, one: Callable[[], Awaitable[bool]]) -> None:
        while True:
            try:
                good = await one()
                self.counts["answers" if good else "refusals"] += 1
                if good:
                    self.last_good_s = time.monotonic()
            except httpx.TransportError as error:
                self.counts[type(error).__name__] += 1
            await asyncio.sleep(0.2)

    async def _watch(self, http: httpx.AsyncClient) -> None:
        while True:
            started = time.monotonic()
            alive = await http.get("/livez")
            self.counts["livez failed"] += not alive.is_success
            self.counts["livez over 5 s"] += time.monotonic() - started > 5
            await asyncio.sleep(1)

    async def until_good(self, *, limit_s: float = 120) -> float:
        """Seconds until the first answer from now."""
        since = time.monotonic()
        while self.last_good_s < since:
            assert time.monotonic() - since < limit_s, f"no answer within {limit_s} s"
            await asyncio.sleep(0.05)
        return self.last_good_s - since

    def take_counts(self) -> str:
        """What was counted since the last time."""
        counts, self.counts = self.counts, Counter()
        return ", ".join(f"{what} {number}" for what, number in sorted(counts.items()) if number) or "nothing came back"

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def play(server: Server, steps: list[tuple[str, Callable[[], None], float]]) -> int:
    """The steps, each with what begins it and how long it lasts (0: until an answer comes); the number of faults."""
    async with server.client(httpx.AsyncClient, server.issue_key(TENANT), timeout_s=120) as http:
        customers = Customers(server, http)
        for _ in range(3):
            await customers.until_good()
        print(f"  before: {customers.take_counts()}", flush=True)
        for name, begin, lasts_s in steps:
            await asyncio.to_thread(begin)
            if lasts_s:
                await asyncio.sleep(lasts_s)
                print(f"  {name}, {lasts_s:.0f} s: {customers.take_counts()}", flush=True)
            else:
                print(f"  {name}: first answer after {await customers.until_good():.1f} s", flush=True)
                await asyncio.sleep(5)
                print(f"  5 s later: {customers.take_counts()}", flush=True)
        await customers.stop()
    found = look(server, customers.told)
    for error, times in Counter(customers.told.errors).most_common(5):
        print(f"  error x{times}: {error}")
    print("  " + ", ".join(f"{what} {count}" for what, count in found.items() if count or what.endswith("lost")))
    return sum(found.values()) + len(customers.told.errors)


def database(prepared: Path, seconds: float) -> int:
    with running(prepared, "postgresql") as server:
        run, signal_all = databases.control()
        return asyncio.run(
            play(
                server,
                [
                    ("frozen", lambda: signal_all(signal.SIGSTOP), seconds),
                    ("goes on", lambda: signal_all(signal.SIGCONT), 0),
                    ("stopped", lambda: run("stop"), seconds),
                    ("started", lambda: run("start"), 0),
                ],
            )
        )


@contextmanager
def small_disk() -> Iterator[Path | None]:
    """A file system of its own; None where none may be mounted."""
    with tempfile.TemporaryDirectory(prefix="trivium-fire-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", folder]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            yield None
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def disk(prepared: Path, seconds: float) -> int:
    with small_disk() as folder:
        if folder is None:
            print("  a tmpfs could not be mounted: not tried")
            return 0
        ballast = folder / "ballast"

        def fill() -> None:
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))

        with running(prepared, within=folder) as server:
            return asyncio.run(play(server, [("full", fill, seconds), ("room again", ballast.unlink, 0)]))


def files(prepared: Path, seconds: float) -> int:
    with running(prepared) as server:

        def allow(most: int) -> None:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        most = 32 * 1024  # every write beyond that fails, in the WAL as well
        steps = [("full", lambda: allow(most), seconds), ("room again", lambda: allow(resource.RLIM_INFINITY), 0.0)]
        return asyncio.run(play(server, steps))


def clock(prepared: Path, seconds: float) -> int:
    if FAKETIME is None:
        print("  libfaketime is not installed (Debian: apt-get install faketime): not tried")
        return 0
    offset = Path(f"/tmp/trivium-fire-clock-{os.getpid()}")
    offset.write_text("+0")
    settings = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    with running(prepared, settings=settings | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}) as server:
        jumps = [("a day ahead", "+1d"), ("two days back", "-1d"), ("right again", "+0")]
        steps = [(name, lambda to=to: offset.write_text(to), seconds / 3) for name, to in jumps]
        faults = asyncio.run(play(server, [*steps, ("still right", lambda: None, 0)]))  # type: ignore[list-item]
    offset.unlink()
    return faults


TROUBLES = {"database": database, "disk": disk, "files": files, "clock": clock}


def main() -> None:
    """Each trouble; exit 1 if anything was lost, doubled or failed otherwise than by refusal."""
    parser = options(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(TROUBLES), default=list(TROUBLES))
    parser.add_argument("--seconds", type=float, default=30)
    asked = parser.parse_args()
    print(f"# {machine()}")
    faults = 0
    for name in asked.only:
        print(name, flush=True)
        faults += TROUBLES[name](asked.prepared, asked.seconds)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
