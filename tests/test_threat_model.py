"""Each threat of docs/threat-model.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
AREAS = {"API", "Dashboards", "Webhooks", "Retrieved text", "Uploads", "Audit", "Backup and model files", "Secrets"}


def _threats() -> list[str]:
    return [line for line in TEXT.splitlines() if re.match(r"\| [STRIDE] \|", line)]


def _tests_of(file: str) -> set[str]:
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_threat_names_tests_and_every_test_exists() -> None:
    named = {threat: re.findall(r"`([\w/]+\.py)::(test_\w+)`", threat) for threat in _threats()}
    pairs = sorted({pair for pairs in named.values() for pair in pairs})

    assert len(named) > 30
    assert [threat for threat, found in named.items() if not found] == []
    assert [f"{file}::{name}" for file, name in pairs if name not in _tests_of(file)] == []


def test_every_area_has_threats() -> None:
    parts = re.split(r"^### (.+)$", TEXT, flags=re.MULTILINE)[1:]
    areas = {
        name: re.findall(r"^\| [STRIDE] \|", text, re.MULTILINE)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }

    assert {name for name, found in areas.items() if found} == AREAS
    assert set(re.findall(r"^\| ([STRIDE]) \|", TEXT, re.MULTILINE)) == set("STRIDE")
