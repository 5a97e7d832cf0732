"""What benchmarks share: where data and models are, how many threads are usual, and the machine for a table's head."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path

import torch

MODELS = Path(tempfile.gettempdir()) / "trivium-benchmark-models"
THREADS = max(1, (os.cpu_count() or 1) - 1)  # as the engine's default


def data_folder(part: str) -> Path:
    """The folder of development data, which shall hold `part`.

    Raises:
        SystemExit: TRIVIUM_DATA is not set.
    """
    if "TRIVIUM_DATA" not in os.environ:
        raise SystemExit(f"TRIVIUM_DATA: must name the folder that holds {part}. Set it and run again.")
    return Path(os.environ["TRIVIUM_DATA"])


def machine() -> str:
    """Processor, cores, load, vector width and torch."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    width = torch.backends.cpu.get_cpu_capability()
    return f"{processor()}, {os.cpu_count()} cores{load}, {width}, torch {torch.__version__}"


def processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
