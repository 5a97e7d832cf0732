"""Night after night: figures are stored, the next run is compared with them, and the exit code says what happened."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import select, update

from service.evals.nightly import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_REGRESSION,
    Limits,
    Night,
    NightlyResult,
    find_git_version,
    run_nightly,
)
from service.evals.store import pin_baseline
from service.evals.tables import EvalExample, EvalMetric, EvalRun, EvalSuite
from tests.service.evals.fake_bench import FakeBench, by_cases
from verticals.contract import Conflict, InvalidInput, Metric, NotFound, Suite, Unavailable


def auc(value: float, name: str = "auc") -> Metric:
    return Metric(name, value, value - 0.03, value + 0.03, 1000, baseline="logistic", baseline_value=0.78)


@pytest.fixture
def night(sessions, tmp_path: Path):
    """Runs suites as the next night of this database."""
    nights = iter(range(1, 28))

    def run(
        *suites, tenant: str = "shop", only=(), target=None, fresh=False, benches=None, day=None, **more
    ) -> NightlyResult:
        at = datetime(2026, 11, day or next(nights), 2, tzinfo=UTC)
        by_domain: dict[str, list[Suite]] = {}
        for domain, suite in suites:
            by_domain.setdefault(domain, []).append(suite)
        about = Night(
            sessions=sessions,
            tenant=tenant,
            out_dir=tmp_path / "reports",
            git_version="1c1ba94",
            target=target,
            now=lambda: at,
            **more,
        )
        benches = benches or [FakeBench(domain, *those) for domain, those in by_domain.items()]
        return run_nightly(benches, about, progress=lambda what, share: None, only=only, fresh=fresh)

    return run


def _verdicts(result: NightlyResult) -> list[str]:
    return [change.verdict for suite in result.comparison.suites for change in suite.changes]


def test_a_seeded_regression_is_flagged_and_noise_is_not(night, make_suite) -> None:
    first = night(("finance", make_suite(auc(0.80))))
    noisy = night(("finance", make_suite(auc(0.79))))
    worse = night(("finance", make_suite(auc(0.65))))

    assert [run.exit_code for run in (first, noisy, worse)] == [EXIT_OK, EXIT_OK, EXIT_REGRESSION]
    assert [_verdicts(run) for run in (first, noisy, worse)] == [["new"], ["steady"], ["regressed"]]


def test_every_figure_is_stored(night, make_suite, sessions) -> None:
    run = night(("finance", make_suite(auc(0.8), auc(0.4, "ks"))))

    with sessions() as session:
        stored = session.scalars(select(EvalRun)).one()
        suite = session.scalars(select(EvalSuite)).one()
        metrics = session.scalars(select(EvalMetric).order_by(EvalMetric.id)).all()
    assert (stored.id, stored.status, stored.exit_code, stored.tenant) == (run.run_id, "completed", 0, "shop")
    assert (stored.models, stored.git_version) == ({"core": "smol 1-abc"}, "1c1ba94")
    assert (suite.domain, suite.name, suite.dataset, suite.status) == ("finance", "scorecard", "loans", "ok")
    assert [(m.name, m.value, m.low, m.n, m.baseline, m.baseline_value, m.tenant) for m in metrics] == [
        ("auc", 0.8, 0.8 - 0.03, 1000, "logistic", 0.78, "shop"),
        ("ks", 0.4, 0.4 - 0.03, 1000, "logistic", 0.78, "shop"),
    ]


def test_a_failed_suite_exits_2_and_the_night_after_is_compared_with_the_last_figures(night, make_suite) -> None:
    good = night(("finance", make_suite(auc(0.80))))
    failed = night(("finance", make_suite(error=RuntimeError("boom"))))
    worse = night(("finance", make_suite(auc(0.65))))

    assert failed.exit_code == EXIT_FAILED
    assert _verdicts(worse) == ["regressed"]
    assert worse.comparison.suites[0].changes[0].since("last").run_id == good.run_id


def test_lost_data_alarms_once_and_returning_data_is_compared(night, make_suite) -> None:
    core = ("core", make_suite(auc(0.9)))
    night(core, ("medical", make_suite(auc(0.80))))
    without = ("medical", make_suite(error=Unavailable("is not mounted")))

    assert night(core, without).exit_code == EXIT_REGRESSION
    assert night(core, without).exit_code == EXIT_OK
    assert _verdicts(night(core, ("medical", make_suite(auc(0.65))))) == ["steady", "regressed"]


def test_a_run_where_everything_was_skipped_is_not_a_success(night, make_suite) -> None:
    assert night(("medical", make_suite(error=Unavailable("is not mounted")))).exit_code == EXIT_FAILED


def test_a_run_of_some_domains_does_not_miss_the_others(night, make_suite) -> None:
    suites = [("finance", make_suite(auc(0.8))), ("support", make_suite(auc(0.7)))]
    night(*suites)
    part = night(*suites, only=("support",))
    whole = night(("finance", make_suite(auc(0.6))), suites[1])

    assert part.exit_code == EXIT_OK
    assert _verdicts(part) == ["steady"]
    assert _verdicts(whole) == ["regressed", "steady"]  # finance against the first night


def test_an_interrupted_run_keeps_its_figures_but_is_never_compared_with(night, make_suite, sessions) -> None:
    night(("core", make_suite(auc(0.8))))
    with pytest.raises(KeyboardInterrupt, match="stop"):
        night(("core", make_suite(auc(0.5))), ("core", make_suite(name="slow", error=KeyboardInterrupt("stop"))))
    after = night(("core", make_suite(auc(0.8))), fresh=True)

    assert _verdicts(after) == ["steady"]
    with sessions() as session:
        assert session.scalars(select(EvalRun.status).order_by(EvalRun.started_at)).all() == [
            "completed",
            "running",
            "completed",
        ]
        assert 0.5 in session.scalars(select(EvalMetric.value)).all()


def test_tenants_are_not_compared_with_each_other(night, make_suite) -> None:
    night(("core", make_suite(auc(0.8))), tenant="shop")

    assert _verdicts(night(("core", make_suite(auc(0.5))), tenant="bank")) == ["new"]


def test_an_unknown_domain_is_refused_before_anything_runs(night, make_suite) -> None:
    with pytest.raises(InvalidInput, match=r"only: has no suites \(got 'finanse'\)\. There are: core, finance\."):
        night(("core", make_suite(auc(0.8))), ("finance", make_suite(auc(0.8))), only=("finanse",))


def test_two_suites_of_one_name_fail_their_domain_alone(night, make_suite) -> None:
    twice = make_suite(auc(0.8), name="a")
    result = night(("core", twice), ("core", twice), ("finance", make_suite(auc(0.8))))

    first, second = (suite.result for suite in result.comparison.suites)
    assert (first.domain, first.name, first.status) == ("core", "declaration", "failed")
    assert "need different names (got 'a')" in str(first.reason)
    assert second.status == "ok"


def test_both_reports_are_written_under_the_run_id(night, make_suite) -> None:
    result = night(("core", make_suite(auc(0.8))))

    assert result.html_path.name == f"{result.run_id}.html"
    assert json.loads(result.json_path.read_text())["run"]["run_id"] == result.run_id
    assert sorted(path.suffix for path in result.html_path.parent.iterdir()) == [".html", ".json"]


def test_a_folder_that_is_no_checkout_has_no_git_version(tmp_path: Path) -> None:
    assert find_git_version(tmp_path) is None
    assert find_git_version(tmp_path / "absent") is None


def test_a_run_is_compared_with_yesterday_last_week_and_the_baseline(night, make_suite, sessions) -> None:
    first, week_before, yesterday = (night(("finance", make_suite(auc(0.80))), day=day) for day in (1, 4, 9))
    with sessions.begin() as session:
        pin_baseline(session, first.run_id, tenant="shop", now=datetime(2026, 11, 9, 3, tzinfo=UTC))

    last = night(("finance", make_suite(auc(0.70))), day=10)

    change = last.comparison.suites[0].changes[0]
    assert {each.reference: each.run_id for each in change.against} == {
        "last": yesterday.run_id,
        "week": week_before.run_id,
        "baseline": first.run_id,
    }
    trend = last.report.domains[0].suites[0].metrics[0].trend
    assert [point.run_id for point in trend] == [run.run_id for run in (first, week_before, yesterday, last)]
    assert (last.report.run.week_run_id, last.report.run.baseline_run_id) == (week_before.run_id, first.run_id)


def test_only_a_run_that_ended_and_is_ones_own_can_be_the_baseline(night, make_suite, sessions) -> None:
    theirs = night(("core", make_suite(auc(0.8))), tenant="bank")
    with pytest.raises(KeyboardInterrupt, match="stop"):
        night(("core", make_suite(error=KeyboardInterrupt("stop"))))

    now = datetime(2026, 11, 9, tzinfo=UTC)
    with sessions.begin() as session:
        unfinished = session.scalars(select(EvalRun.id).where(EvalRun.status == "running")).one()
        with pytest.raises(NotFound, match="no such run"):
            pin_baseline(session, theirs.run_id, tenant="shop", now=now)
        with pytest.raises(Conflict, match="did not end"):
            pin_baseline(session, unfinished, tenant="shop", now=now)


def test_runs_against_a_live_api_have_a_history_of_their_own(night, make_suite) -> None:
    night(("core", make_suite(auc(0.8))))

    first = night(("core", make_suite(auc(0.6))), target="https://api.example.org")
    second = night(("core", make_suite(auc(0.6))), target="https://api.example.org")

    assert (_verdicts(first), _verdicts(second)) == (["new"], ["steady"])


def test_a_suite_for_which_no_time_is_left_is_reported_and_not_begun(night) -> None:
    begun: list[str] = []

    result = night(("core", by_cases({"a": 1.0}, on_score=begun.append)), limits=Limits(run_s=0))

    assert begun == []
    assert result.exit_code == EXIT_FAILED
    assert "the run's time was over" in str(result.comparison.suites[0].result.reason)


def test_suites_that_run_at_once_are_stored_and_reported_in_their_order(night) -> None:
    meeting = Barrier(3, timeout=30)  # each waits for the two others
    suites = [
        (domain, by_cases({"a": 1.0}, name=name, on_score=lambda case_id: meeting.wait()))
        for domain, name in (("core", "first"), ("core", "second"), ("finance", "third"))
    ]

    result = night(*suites, at_once=3)

    ended = [change.result for change in result.comparison.suites]
    assert [(suite.name, suite.status) for suite in ended] == [("first", "ok"), ("second", "ok"), ("third", "ok")]


def test_a_domain_that_cannot_be_opened_does_not_stop_the_others(night, make_suite) -> None:
    benches = [FakeBench("core", error="its process was ended by SIGKILL"), FakeBench("finance", make_suite(auc(0.8)))]

    result = night(benches=benches)

    assert [suite.result.status for suite in result.comparison.suites] == ["failed", "ok"]
    assert result.exit_code == EXIT_FAILED


def test_a_domain_that_could_not_be_opened_is_one_failure_and_its_return_is_no_loss(night, make_suite) -> None:
    night(("core", make_suite(auc(0.8))))

    away = night(benches=[FakeBench("core", error="its process was ended by SIGKILL")])
    back = night(("core", make_suite(auc(0.8))))

    assert (away.exit_code, away.comparison.num_alarms) == (EXIT_FAILED, 1)
    assert (back.exit_code, _verdicts(back)) == (EXIT_OK, ["steady"])


def test_a_regression_beside_a_failure_exits_1(night, make_suite) -> None:
    night(("core", make_suite(auc(0.8))))

    result = night(("core", make_suite(auc(0.5))), ("core", make_suite(name="b", error=RuntimeError("x"))))

    assert result.exit_code == EXIT_REGRESSION


def test_slices_and_changed_examples_come_with_the_report_and_old_examples_are_forgotten(night, sessions) -> None:
    def suite(wrong: str) -> Suite:
        scores = {f"case {i}": float(f"case {i}" != wrong) for i in range(6)}
        return by_cases(
            scores, shown=lambda case: f"{case}: {wrong}", slices=lambda case: {"odd": str(case[-1] in "135")}
        )

    night(("support", suite("case 1")))
    (found,) = night(("support", suite("case 4"))).report.domains[0].suites

    assert [(each.id, each.change) for each in found.moved] == [("case 4", -1.0), ("case 1", 1.0)]
    assert (found.moved[0].shown_before, found.moved[0].shown_now) == ("case 4: case 1", "case 4: case 4")
    assert [(each.value_of, round(each.value, 3), round(each.last_value, 3), each.n) for each in found.slices] == [
        ("False", 0.667, 1.0, 3),
        ("True", 1.0, 0.667, 3),
    ]
    with sessions.begin() as session:
        session.execute(update(EvalRun).values(started_at=datetime(2026, 9, 1, tzinfo=UTC)))
    night(("support", suite("case 4")))
    with sessions() as session:
        assert len(session.scalars(select(EvalExample.run_id).distinct()).all()) == 1
