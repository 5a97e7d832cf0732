"""The report shows what matters first, needs nothing but itself, and trusts no text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from service.evals.compare import Previous, compare
from service.evals.cost import Cost
from service.evals.history import Point
from service.evals.numbers import format_change, format_number, format_seconds
from service.evals.page import bar_geometry, render_html, trend_geometry
from service.evals.report import describe, write_report
from service.evals.report_schema import Report, RunPart
from service.evals.runner import SuiteResult
from service.evals.words import WORDS
from verticals.contract import Example, Metric
from verticals.scores import mean_metric

INFO = RunPart(
    run_id="20261122T020000Z-abc123",
    started_at=datetime(2026, 11, 22, 2, tzinfo=UTC),
    duration_s=95.0,
    git_version="1c1ba94-dirty",
    models={"core": "smol 1-abc"},
    machine={"cpus": 2, "python": "3.11.9"},
    target=None,
    last_run_ids=["20261121T020000Z-def456"],
    week_run_id=None,
    baseline_run_id=None,
    families={"last": 1},
    exit_code=1,
)


def result(
    name: str, *metrics: Metric, domain="finance", status="ok", reason=None, dataset="German credit"
) -> SuiteResult:
    return SuiteResult(domain, name, dataset, "5-fold", "WoE scorecard", "ROC AUC", status, reason, 3.0, metrics)


def auc(value: float) -> Metric:
    return Metric("AUC", value, value - 0.03, value + 0.03, 1000, baseline="logistic", baseline_value=0.7871)


@pytest.fixture
def comparison():
    before = result("scorecard", auc(0.8))
    now = [
        result("scorecard", auc(0.65)),
        result("reasons", status="failed", reason="KeyError at finance:12"),
        result("findings", domain="medical", status="skipped", reason="data set is not mounted"),
    ]
    return compare(
        now, {before.key: Previous("ok", "r1", before, "r1"), ("finance", "old"): Previous("ok", "r1", None, None)}
    )


def page_of(info, comparison, trends=None) -> str:
    return render_html(describe(info, comparison, trends).model_dump(mode="json"))


class Page(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += " ".join(data.split()) + " " if data.strip() else ""


def test_the_page_fetches_nothing(comparison) -> None:
    html = page_of(INFO, comparison)
    page = Page(html)

    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "srcset", "data", "action", "ping"} & {name for name, _ in page.attributes}
    assert not any(word in html for word in ("url(", "@import", "http:", "https:"))


def test_regressions_and_losses_come_before_the_domains(comparison) -> None:
    text = Page(page_of(INFO, comparison)).text

    attention, first_domain = text.index("Needs attention"), text.index("value and 95 % interval")
    for word in ("AUC", "−0.150", "failed: KeyError at finance:12", "is gone"):
        assert attention < text.index(word) < first_domain


def test_the_page_names_data_method_reasons_and_run(comparison) -> None:
    text = Page(page_of(INFO, comparison)).text

    for word in (
        *(
            "German credit",
            "5-fold",
            "WoE scorecard",
            "ROC AUC",
            "data set is not mounted",
            "0.620 to 0.680",
            "logistic",
        ),
        *("20261122T020000Z-abc123", "20261121T020000Z-def456", "1c1ba94-dirty", "smol 1-abc", "1 min 35 s", "cpus 2"),
    ):
        assert word in text


def test_the_runs_that_it_is_compared_with_stand_apart(comparison) -> None:
    about = INFO.model_copy(update={"week_run_id": "20261115T020000Z-aaa", "baseline_run_id": "20261101T020000Z-bbb"})

    text = "".join(Page(page_of(about, comparison)).text.split())

    assert re.search(r"def456\(lastrun.*?\),20261115T020000Z-aaa\(.*?\),20261101T020000Z-bbb\(pinned", text)


def test_a_plugin_keeps_its_name() -> None:
    page = page_of(INFO, compare([result("returns", auc(0.8), domain="returns.py"), result("card", auc(0.8))], {}))

    assert "<h2>returns.py</h2>" in page
    assert '<h2 class="domain">finance</h2>' in page


def test_hostile_text_is_escaped() -> None:
    attack = "<script>alert(1)</script>"
    metric = Metric(attack, 0.5, 0.4, 0.6, 9, baseline=attack, baseline_value=0.1)

    page = Page(page_of(INFO, compare([result(attack, metric, dataset=attack, domain=attack)], {})))

    assert "script" not in page.tags
    assert attack in page.text


def test_json_holds_the_figures_in_full_precision(comparison, tmp_path: Path) -> None:
    _, json_path = write_report(describe(INFO, comparison), tmp_path)

    report = json.loads(json_path.read_text())
    metric = report["domains"][0]["suites"][0]["metrics"][0]
    assert report["format"] == "trivium-evaluation/2"
    assert report["summary"] | {"alarms": 3, "regressed": 1, "failed": 1, "skipped": 1, "ok": 1} == report["summary"]
    assert metric["verdict"] == "regressed"
    assert metric["value"] == 0.65
    (against,) = metric["against"]
    assert (against["reference"], against["value"], against["num_pairs"]) == ("last", 0.8, None)
    assert against["change"] == pytest.approx(-0.15)
    assert report["gone"] == [{"domain": "finance", "suite": "old"}]


@pytest.mark.parametrize(
    ("first_run", "status", "headline"),
    [
        (True, "ok", "First run: there is nothing to compare with yet"),
        (False, "ok", "No regressions"),
        (False, "skipped", "Nothing was measured"),
    ],
)
def test_the_headline_never_claims_more_than_was_measured(first_run: bool, status, headline: str) -> None:
    info = INFO.model_copy(update={"last_run_ids": [] if first_run else ["r1"]})
    metrics = (auc(0.8),) if status == "ok" else ()

    assert headline in Page(page_of(info, compare([result("s", *metrics, status=status)], {}))).text


def test_marks_keep_their_order_and_stay_inside_the_drawing() -> None:
    row = {"value": 0.65, "low": 0.62, "high": 0.68, "baseline_value": 0.5}
    row["against"] = [{"reference": "last", "value": 0.8}]

    at = bar_geometry(row)

    assert 0 < at["baseline"] < at["low"] < at["value"] < at["high"] < at["last"] < at["width"]


def test_an_exact_metric_is_drawn_in_the_middle() -> None:
    at = bar_geometry({"value": 3.0, "low": 3.0, "high": 3.0, "against": [], "baseline_value": None})

    assert at["value"] == at["low"] == at["high"] == at["width"] / 2
    assert at["last"] is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.79, "0.790"), (0.00091, "0.00091"), (2.13e-5, "2.1e-05")),
        *((12.346, "12.35"), (-0.5, "−0.500"), (345.67, "345.7"), (1204.4, "1,204")),
    ],
)
def test_numbers_keep_the_digits_that_matter(value: float, text: str) -> None:
    assert format_number(value) == text


def test_changes_are_signed() -> None:
    assert [format_change(value) for value in (0.1, -0.1, 0.0)] == ["+0.100", "−0.100", "0"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.44, "0.4 s"), (12.3, "12 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")]
)
def test_durations_read_as_people_say_them(value: float, text: str) -> None:
    assert format_seconds(value) == text


def examples(wrong: int, shown: str = "an answer") -> dict[str, Example]:
    return {f"case {i}": Example({"right": float(i != wrong)}, {"language": "zh"}, shown) for i in range(5)}


def test_slices_changed_examples_trends_and_cost_are_drawn_and_hostile_ones_escaped() -> None:
    attack = "<img src=x onerror=alert(1)>"
    old, new = examples(0), examples(1, attack)
    made = result("answers", mean_metric("right", new), domain="support")
    now = replace(made, examples=new, cost=Cost(tokens=1_234, cpu_s=70.0, peak_mb=512.0))
    before = replace(made, metrics=(mean_metric("right", old),), examples=old, duration_s=2.0)
    points = [Point(f"r{i}", datetime(2026, 11, 20 + i, tzinfo=UTC), 0.7 + i / 100, 0.6, 0.9) for i in range(3)]

    html = page_of(
        INFO,
        compare([now], {now.key: Previous("ok", "r1", before, "r1")}),
        {("support", "answers", "right"): points},
    )
    page = Page(html)

    assert "img" not in page.tags
    assert attack in page.text
    assert "2 / 5 examples scored otherwise" in page.text
    assert "language = zh" in page.text
    assert page.tags.count("polyline") == 1
    assert "1,234" in page.text
    assert "512 MiB" in page.text
    assert "1 min 10 s" in page.text


def test_both_languages_are_in_the_page_and_a_check_box_shows_one(comparison) -> None:
    page = Page(page_of(INFO, comparison))

    assert "需要查看" in page.text
    assert page.tags.count("input") == 1
    assert all(english and chinese for english, chinese in WORDS.values())


def test_a_trend_is_drawn_by_time_within_its_drawing_and_its_band_holds_its_line() -> None:
    row = {"trend": [{"value": 0.7 + i / 50, "low": 0.6, "high": 0.9} for i in range(3)]}

    at = trend_geometry(row)

    xs, ys = zip(*at["points"], strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)  # better is higher, which is a smaller y
    assert all(0 < x < at["width"] for x in xs)
    assert all(0 < y < at["height"] for y in ys)


def test_the_json_obeys_its_schema_and_unknown_parts_are_refused(comparison, tmp_path: Path) -> None:
    _, json_path = write_report(describe(INFO, comparison), tmp_path)
    found = json.loads(json_path.read_text())

    jsonschema.validate(found, Report.model_json_schema())
    with pytest.raises(ValidationError, match="extra"):
        Report.model_validate(found | {"more": 1})
