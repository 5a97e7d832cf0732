"""A few rounds of the benchmark that kills the process while tools execute."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_the_process_is_killed() -> None:
    command = [sys.executable, "-m", "benchmarks.crash", "--kills", "6"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "lost 0, doubled 0, unanswered 0, unproved 0" in ended.stdout
