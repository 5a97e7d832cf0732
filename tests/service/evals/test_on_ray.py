"""Suites on a real Ray cluster end as they do in processes of our own. Starting it costs some ten seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.evals.isolation import Broken, ProcessBench
from service.evals.nightly import Bench, Limits, Night, run_nightly
from service.evals.on_ray import RayBench
from service.evals.runner import SuiteResult
from service.ray_cluster import num_processors, ray_cluster
from service.storage import make_sessions, open_database
from tests.databases import migrated_url
from tests.service.evals.fake_bench import open_damaged, open_pair, open_troubled

pytest.importorskip("ray", reason="needs the extra package ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    with ray_cluster("local") as cluster:
        yield cluster


@pytest.fixture
def night(tmp_path: Path) -> Callable[..., list[SuiteResult]]:
    sessions = make_sessions(open_database(migrated_url(tmp_path)))

    def run(*benches: Bench, at_once: int, suite_s: float = 60) -> list[SuiteResult]:
        about = Night(
            sessions=sessions, tenant="shop", out_dir=tmp_path, limits=Limits(suite_s=suite_s), at_once=at_once
        )
        done = run_nightly(benches, about, progress=lambda what, share: None, fresh=True)
        return [change.result for change in done.comparison.suites]

    return run


def test_two_suites_on_a_cluster_give_the_figures_of_two_in_a_process(ray: Any, night) -> None:
    here = night(ProcessBench("core", open_pair), at_once=1)
    there = night(RayBench("core", open_pair, ray=ray), at_once=num_processors(ray))

    assert [result.key for result in there] == [result.key for result in here] == [("core", "odd"), ("core", "even")]
    assert [result.metrics for result in there] == [result.metrics for result in here]
    assert [result.examples for result in there] == [result.examples for result in here]
    assert all(result.status == "ok" and result.cost for result in there)


def test_each_way_to_fail_ends_its_suite_alone(ray: Any, night) -> None:
    found = {
        result.name: result
        for result in night(RayBench("core", open_troubled, ray=ray, memory_mb=4_096), at_once=2, suite_s=20)
    }

    assert {name: result.status for name, result in found.items()} == {
        "raises": "failed",
        "crashes": "failed",
        "fine": "ok",
        "hoards": "failed",
        "hangs": "failed",
    }
    assert "its process on the cluster ended" in str(found["crashes"].reason)
    assert "MemoryError" in str(found["hoards"].reason)
    assert "did not end within 20 s" in str(found["hangs"].reason)
    assert not any("Jane" in str(result.reason) for result in found.values())


def test_a_domain_that_cannot_be_opened_says_where(ray: Any) -> None:
    with pytest.raises(Broken, match="RuntimeError at ") as caught:
        RayBench("core", open_damaged, ray=ray).declare(timeout_s=120)
    assert "Jane" not in str(caught.value)
