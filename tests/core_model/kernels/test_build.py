"""The package builds where there is no compiler, without kernels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_without_a_compiler_the_build_succeeds_without_kernels(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "core_model/kernels/cpu", tmp_path / "core_model/kernels/cpu")
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "build_ext", "--inplace"]
    hidden = dict.fromkeys(("CC", "CXX"), str(tmp_path / "no-compiler"))

    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **hidden}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert 'building extension "core_model.kernels._cpu" failed' in done.stdout + done.stderr
    assert not [*tmp_path.rglob("*.so")]
