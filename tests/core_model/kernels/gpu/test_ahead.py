"""Every kernel compiles for a Hopper GPU that is not there, and fits its shared memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="needs the extra `cuda`")

ROOT = Path(__file__).resolve().parents[4]
SHARED_BYTES = 227 * 1024  # of a block, on sm_90


@pytest.mark.slow  # seconds of a compiler's work at first, then kept in Triton's cache
def test_every_kernel_compiles_ahead_of_time() -> None:
    compiled = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "core_model.kernels.gpu.ahead"]

    done = subprocess.run(command, cwd=ROOT, env=compiled, capture_output=True, text=True, check=True)

    made = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["kernel"].partition(",")[0] for line in made} >= {"multiply", "attend", "sort_pairs", "add_rms_norm"}
    assert all(line["cubin_bytes"] > 0 and line["shared_bytes"] <= SHARED_BYTES for line in made)
