"""Where a process that serves takes its memory from."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

THREADS = """
import re, sys, threading
from service.memory import share_arenas
if sys.argv[1] == "shared":
    share_arenas()
def work(all_there):
    all_there.wait()
    kept.append([bytes(300_000) for _ in range(20)])  # too long for Python's own places, too short for a mapping
    all_there.wait()
kept, all_there = [], threading.Barrier(8)
threads = [threading.Thread(target=work, args=[all_there]) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
starts = re.findall(r"^([0-9a-f]+)-.* rw-p 00000000 00:00 0 *$", open("/proc/self/maps").read(), re.M)
print(sum(int(start, 16) % (64 << 20) == 0 for start in starts))
"""


def arenas(how: str) -> int:
    """Beside the main one: each begins at a multiple of 64 MiB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}
    told = subprocess.run(
        [sys.executable, "-c", THREADS, how], capture_output=True, text=True, env=environment, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names, reason="glibc's malloc"
)
def test_threads_of_a_server_take_memory_from_few_places() -> None:
    assert arenas("shared") <= 2 < arenas("each its own")
