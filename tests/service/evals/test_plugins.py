"""Suites of one's own: the documented example runs, a broken plug-in is reported and nobody else suffers."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from service.evals.plugins import find_plugins, plugin_suites
from service.evals.runner import declare_suites, run_suite
from verticals.support.schemas import SearchResponse

DOCUMENTED = Path(__file__).parents[3] / "docs/evaluation.md"


def _quiet(what: str, share: float) -> None:
    del what, share


def _found(folder: Path, *, call=lambda vertical, operation, fields: None):
    return {
        domain: declare_suites(lambda load=load: plugin_suites(load, call))
        for domain, load in find_plugins(folder).items()
    }


def test_the_documented_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n# evals/returns\.py\n(.+?)```", DOCUMENTED.read_text(), re.DOTALL)
    (tmp_path / "returns.py").write_text(code)
    asked = []

    def call(vertical, operation, fields):
        asked.append((vertical, operation, fields["query"]))
        hit = {"doc_id": "returns", "title": "t", "heading": "", "text": "x", "score": 1.0, "uri": None}
        return SearchResponse.model_construct(hits=[type("Hit", (), hit)])

    [suite] = _found(tmp_path, call=call)["returns.py"]
    result = run_suite("mine", suite, _quiet)

    assert result.status == "ok", result.reason
    assert 0 < result.metrics[0].value <= 1
    assert {(vertical, operation) for vertical, operation, _ in asked} == {("support", "search")}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("1 +", "broken.py: is no Python in line 1"),
        ("raise OSError('Jane Doe')", "OSError at "),
        ("x = 1", "must define a function evals(call)"),
        ("def evals(call): return ['no suite']", "must give verticals.contract.Suite (got 'str')"),
    ],
)
def test_a_broken_plugin_is_a_failed_suite_and_its_neighbour_runs(tmp_path: Path, code: str, reason: str) -> None:
    (tmp_path / "broken.py").write_text(code)
    (tmp_path / "fine.py").write_text("def evals(call): return []")
    (tmp_path / "_part.py").write_text("raise AssertionError")

    found = _found(tmp_path)
    [suite] = found["broken.py"]
    result = run_suite("mine", suite, _quiet)

    assert set(found) == {"broken.py", "fine.py"}
    assert result.status == "failed"
    assert reason in str(result.reason)
    assert "Jane" not in str(result.reason)
    assert found["fine.py"] == []


def test_a_folder_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    [suite] = _found(tmp_path / "evals")["evals"]

    assert "TRIVIUM_EVALS: must be a folder" in str(run_suite("mine", suite, _quiet).reason)


def test_a_package_plugs_in_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "our_evals.py").write_text("def evals(call): return []")
    about = tmp_path / "ours-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[trivium.evals]\nreturns = our_evals:evals\n")
    monkeypatch.syspath_prepend(tmp_path)

    loads = find_plugins(None)

    assert isinstance(loads["ours:returns"].args[0], EntryPoint)
    assert plugin_suites(loads["ours:returns"], lambda *args: None) == []
