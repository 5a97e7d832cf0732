"""A suite that raises, hangs, dies or eats all memory ends alone; a run that is killed goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from service.evals.isolation import Broken, ProcessBench
from service.evals.nightly import Night, run_nightly
from service.evals.runner import Journal, SuiteResult
from service.evals.tables import EvalExample
from service.storage import make_sessions, migrate, open_database
from tests.conftest import wait_for
from tests.service.evals.fake_bench import GOOD, FakeBench, open_damaged, open_slow, open_troubled, open_twins


def _quiet(what: str, share: float) -> None:
    del what, share


def test_each_way_to_fail_is_reported_and_the_rest_goes_on() -> None:
    bench = ProcessBench("core", open_troubled, memory_mb=2_048)
    try:
        declared, models = bench.declare(timeout_s=60)
        found = {
            suite.name: bench.run(
                suite, journal=Journal(), progress=_quiet, timeout_s=2 if suite.name == "hangs" else 60
            )
            for suite in declared
        }
    finally:
        bench.close()

    assert models == {"core": "tiny-1"}
    assert {name: result.status for name, result in found.items()} == {
        "raises": "failed",
        "crashes": "failed",
        "fine": "ok",
        "hoards": "failed",
        "hangs": "failed",
    }
    assert found["fine"].metrics == (GOOD,)
    assert str(found["raises"].reason).startswith("KeyError at ")
    assert "Jane" not in str(found["raises"].reason)
    assert "SIGSEGV" in str(found["crashes"].reason)
    assert "MemoryError" in str(found["hoards"].reason)
    assert "did not end within 2 s" in str(found["hangs"].reason)


def test_a_process_that_ends_between_two_suites_takes_one_of_them_with_it() -> None:
    bench = ProcessBench("core", open_troubled)
    try:
        declared, _ = bench.declare(timeout_s=60)
        assert bench._process is not None
        bench._process.kill()
        bench._process.wait()
        fine = next(suite for suite in declared if suite.name == "fine")
        lost, found = (bench.run(fine, journal=Journal(), progress=_quiet, timeout_s=60) for _ in range(2))
    finally:
        bench.close()

    assert "SIGKILL" in str(lost.reason)
    assert found.status == "ok"


def test_a_domain_that_cannot_be_opened_says_where_and_not_what_its_error_quoted() -> None:
    bench = ProcessBench("core", open_damaged)

    with pytest.raises(Broken, match="RuntimeError at ") as caught:
        bench.declare(timeout_s=60)
    assert "Jane" not in str(caught.value)


def test_two_suites_of_one_name_are_both_declared_so_that_the_run_can_refuse_them() -> None:
    bench = ProcessBench("core", open_twins)
    try:
        declared, _ = bench.declare(timeout_s=60)
    finally:
        bench.close()

    assert [suite.name for suite in declared] == ["twin", "twin"]


NIGHT = """
import sys
from functools import partial
from pathlib import Path
from service.evals.isolation import ProcessBench
from service.evals.nightly import Night, run_nightly
from service.storage import make_sessions, open_database
from tests.service.evals.fake_bench import open_slow

if __name__ == "__main__":
    home = Path(sys.argv[1])
    night = Night(sessions=make_sessions(open_database(sys.argv[2])), tenant="shop", out_dir=home / "reports")
    run_nightly([ProcessBench("core", partial(open_slow, home, 30))], night, progress=lambda what, share: None)
"""


def test_a_killed_run_goes_on_where_it_was_with_the_figures_of_an_unbroken_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'killed.db'}"
    migrate(url)
    (tmp_path / "night.py").write_text(NIGHT)
    scored = tmp_path / "scored"
    process = subprocess.Popen(
        [sys.executable, tmp_path / "night.py", tmp_path, url],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    sessions = make_sessions(open_database(url))

    def is_at_the_twentieth() -> bool:
        with sessions() as session:
            num_kept = session.scalar(select(func.count()).select_from(EvalExample))
        return num_kept == 16 and "case 20" in scored.read_text()

    assert wait_for(is_at_the_twentieth, timeout_s=120)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (second := tmp_path / "second").mkdir()
    (second / "go").touch()

    def night(tenant: str) -> tuple[SuiteResult, bool]:
        with open_slow(second, 30) as declared:
            bench = FakeBench("core", *declared.suites)
        about = Night(sessions=sessions, tenant=tenant, out_dir=tmp_path / "reports")
        done = run_nightly([bench], about, progress=_quiet)
        return done.comparison.suites[0].result, done.is_resumed

    resumed, is_resumed = night("shop")
    again = (second / "scored").read_text().split("\n")[:-1]
    unbroken, _ = night("another")

    assert is_resumed
    assert again == [f"case {i}" for i in range(16, 30)]  # the third batch was not finished
    assert resumed.metrics == unbroken.metrics
    assert resumed.examples == unbroken.examples
