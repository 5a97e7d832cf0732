"""One real `trivium up` for all journeys: real models, real server, real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.browser import binaries, chromium
from tests.ports import free_port

START_TIMEOUT_S = 240


@dataclass
class Running:
    """The process and what it printed."""

    process: subprocess.Popen[str]
    api_url: str
    page_url: str
    home: Path
    key: str = ""
    output: list[str] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        """Collect the output until the process ends; `ready` is set when it told how to stop it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            found = re.search(r"tvm_\S+", line)
            self.key = self.key or (found.group() if found else "")
            if "Ctrl-C stops both" in line:
                self.ready.set()
        self.ready.set()


def start(home: Path) -> Running:
    """Start `trivium up` on free ports and wait until both servers answer."""
    port, page_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRIVIUM_")}
    environment |= {
        "TRIVIUM_HOME": str(home),
        "TRIVIUM_PORT": str(port),
        "TRIVIUM_DASHBOARD_PORT": str(page_port),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "up"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    running = Running(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{page_port}", home)
    threading.Thread(target=running.read, daemon=True).start()
    assert running.ready.wait(START_TIMEOUT_S), "".join(running.output)
    assert process.poll() is None, "".join(running.output)
    return running


def stop(running: Running) -> int:
    """Ctrl-C; the exit status."""
    running.process.send_signal(signal.SIGINT)
    return running.process.wait(60)


@pytest.fixture(scope="session")
def kit_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(tmp_path_factory.mktemp("home"))
    yield running
    if running.process.poll() is None:
        stop(running)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    if binaries() is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; .ci/run installs it")
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium chromium-driver)")
    with chromium(downloads=tmp_path_factory.mktemp("downloads")) as driver:
        yield driver
