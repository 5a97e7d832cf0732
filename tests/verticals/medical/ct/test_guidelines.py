"""Calculators: each row of the tables as published, nothing assumed for what is missing, no prior that is not there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from verticals.contract import InvalidInput
from verticals.medical.ct.fleischner import fleischner
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer, LungRadsRequest
from verticals.medical.ct.lung_rads import lung_rads

ADULT = {
    "age_years": 60,
    "known_cancer": False,
    "immunosuppressed": False,
    "screening": False,
    "has_prior": False,
}
LATER, CONSIDER = "then CT at 18-24 months.", "then consider CT at 18-24 months."


def by_fleischner(**fields: Any) -> GuidelineAnswer:
    return fleischner(FleischnerRequest.model_validate(ADULT | fields))


def by_lung_rads(**fields: Any) -> GuidelineAnswer:
    return lung_rads(LungRadsRequest.model_validate({"exam": "baseline", "suspicious_features": False} | fields))


@pytest.mark.parametrize(
    ("count", "size_mm", "risk", "advice"),
    [
        ("single", 5.4, "low", "No routine follow-up."),
        ("single", 5.4, "high", "Optional CT at 12 months."),
        ("single", 5.5, "low", f"CT at 6-12 months, {CONSIDER}"),
        ("single", 8.4, "high", f"CT at 6-12 months, {LATER}"),
        ("single", 8.5, "low", "Consider CT at 3 months, PET/CT, or tissue sampling."),
        ("single", 20, "high", "Consider CT at 3 months, PET/CT, or tissue sampling."),
        ("multiple", 5, "low", "No routine follow-up."),
        ("multiple", 5, "high", "Optional CT at 12 months."),
        ("multiple", 7, "low", f"CT at 3-6 months, {CONSIDER}"),
        ("multiple", 7, "high", f"CT at 3-6 months, {LATER}"),
        ("multiple", 9, "low", f"CT at 3-6 months, {CONSIDER}"),
        ("multiple", 9, "high", f"CT at 3-6 months, {LATER}"),
    ],
)
def test_fleischner_solid_nodules_get_their_row(count: str, size_mm: float, risk: str, advice: str) -> None:
    answer = by_fleischner(density="solid", count=count, mean_diameter_mm=size_mm, risk=risk)

    assert (answer.status, answer.advice) == ("answered", advice)
    assert answer.row.startswith("A. Solid nodules")
    assert "Table 1" in answer.source


@pytest.mark.parametrize(
    ("density", "count", "size_mm", "advice"),
    [
        ("ground_glass", "single", 5, "No routine follow-up."),
        ("ground_glass", "single", 6, "CT at 6-12 months to confirm persistence, then CT every 2 years until 5 years."),
        ("part_solid", "single", 5, "No routine follow-up."),
        ("ground_glass", "multiple", 5, "CT at 3-6 months. If stable, consider CT at 2 and 4 years."),
        (
            "part_solid",
            "multiple",
            6,
            "CT at 3-6 months. Subsequent management based on the most suspicious nodule(s).",
        ),
    ],
)
def test_fleischner_subsolid_nodules_get_their_row(density: str, count: str, size_mm: float, advice: str) -> None:
    answer = by_fleischner(density=density, count=count, mean_diameter_mm=size_mm)

    assert (answer.status, answer.advice) == ("answered", advice)


def test_fleischner_part_solid_needs_its_solid_component_and_warns_of_a_large_one() -> None:
    stated = {"density": "part_solid", "count": "single", "mean_diameter_mm": 9}

    assert [ask.field for ask in by_fleischner(**stated).asks] == ["solid_component_mm"]
    assert by_fleischner(**stated, solid_component_mm=4).notes == []
    assert "highly suspicious" in by_fleischner(**stated, solid_component_mm=6).notes[0]


@pytest.mark.parametrize(("volume", "band"), [(99, "<6 mm"), (100, "6-8 mm"), (250, "6-8 mm"), (251, ">8 mm")])
def test_fleischner_takes_a_volume_instead_of_a_diameter(volume: float, band: str) -> None:
    answer = by_fleischner(density="solid", count="single", volume_mm3=volume, risk="low")

    assert f"; {band}" in answer.row


def test_fleischner_asks_for_everything_that_is_missing_and_assumes_nothing() -> None:
    answer = fleischner(FleischnerRequest(density="solid", mean_diameter_mm=7))

    assert answer.status == "asks"
    assert answer.advice == ""
    assert [ask.field for ask in answer.asks] == [*ADULT, "count", "risk"]


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({"age_years": 34}, "younger than 35"),
        ({"known_cancer": True}, "known primary cancer"),
        ({"immunosuppressed": True}, "immunosuppressed"),
        ({"screening": True}, "Lung-RADS"),
        ({"has_prior": True}, "compare"),
    ],
)
def test_fleischner_says_whom_it_is_not_for(stated: dict[str, Any], why: str) -> None:
    answer = by_fleischner(density="solid", count="single", mean_diameter_mm=7, risk="low", **stated)

    assert answer.status == "does not apply"
    assert why in answer.notes[0]


def test_contradicting_sizes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="volume_mm3: give the diameter or the volume"):
        by_fleischner(mean_diameter_mm=7, volume_mm3=180)
    with pytest.raises(InvalidInput, match="solid_component_mm: must not be larger"):
        by_lung_rads(nodule="part_solid", mean_diameter_mm=7, solid_component_mm=8)
    with pytest.raises(ValidationError, match="mean_diameter_mm"):
        FleischnerRequest(mean_diameter_mm=float("nan"))


@pytest.mark.parametrize(
    ("nodule", "size_mm", "part_mm", "category"),
    [
        ("solid", 5.9, None, "2"),
        ("solid", 6.0, None, "3"),
        ("solid", 7.9, None, "3"),
        ("solid", 8.0, None, "4A"),
        ("solid", 14.94, None, "4A"),
        ("solid", 15.0, None, "4B"),
        ("part_solid", 5.9, 3.0, "2"),
        ("part_solid", 6.0, 5.9, "3"),
        ("part_solid", 9.0, 6.0, "4A"),
        ("part_solid", 9.0, 8.0, "4B"),
        ("ground_glass", 29.9, None, "2"),
        ("ground_glass", 30.0, None, "3"),
    ],
)
def test_lung_rads_at_baseline(nodule: str, size_mm: float, part_mm: float | None, category: str) -> None:
    answer = by_lung_rads(nodule=nodule, mean_diameter_mm=size_mm, solid_component_mm=part_mm, juxtapleural=False)

    assert (answer.status, answer.category) == ("answered", category)


@pytest.mark.parametrize(
    ("nodule", "size_mm", "part_mm", "category"),
    [
        ("solid", 3.9, None, "2"),
        ("solid", 4.0, None, "3"),
        ("solid", 6.0, None, "4A"),
        ("solid", 8.0, None, "4B"),
        ("part_solid", 5.0, 2.0, "3"),
        ("part_solid", 7.0, 3.9, "4A"),
        ("part_solid", 7.0, 4.0, "4B"),
        ("ground_glass", 12.0, None, "2"),
    ],
)
def test_lung_rads_of_a_new_nodule(nodule: str, size_mm: float, part_mm: float | None, category: str) -> None:
    stated = {"exam": "follow_up", "change": "new", "juxtapleural": False}

    answer = by_lung_rads(nodule=nodule, mean_diameter_mm=size_mm, solid_component_mm=part_mm, **stated)

    assert (answer.status, answer.category) == ("answered", category)


@pytest.mark.parametrize(
    ("now_mm", "before_mm", "months", "was", "category", "row"),
    [
        (7.0, 6.8, 6, "3", "2", "stable or decreased"),
        (9.0, 9.2, 3, "4A", "3", "stable or decreased"),
        (7.5, 7.4, 12, "2", "2", "stable or decreased"),
        (6.4, 5.5, 12, "2", "3", "Solid nodule >=6 to <8 mm, baseline: its size threshold was crossed without growth"),
        (8.0, 7.2, 3, "3", "4A", "its size threshold was crossed"),
        (7.6, 6.0, 6, "3", "4A", "growing, <8 mm"),
        (8.0, 6.4, 12, "3", "4B", "growing, >=8 mm"),
    ],
)
def test_lung_rads_compares_with_the_stated_prior(
    now_mm: float, before_mm: float, months: float, was: str, category: str, row: str
) -> None:
    prior = {"mean_diameter_mm": before_mm, "category": was, "months_before": months}

    answer = by_lung_rads(exam="follow_up", change="existing", nodule="solid", mean_diameter_mm=now_mm, prior=prior)

    assert answer.category == category
    assert row in answer.row


@pytest.mark.parametrize(
    ("now_mm", "before_mm", "months", "was", "why"),
    [
        (8.0, 6.0, 24, "3", "slow growth"),
        (7.0, 7.0, 3, "3", "6 months after"),
        (16.0, 16.0, 6, "4B", "proven benign"),
    ],
)
def test_lung_rads_says_where_its_table_is_silent(
    now_mm: float, before_mm: float, months: float, was: str, why: str
) -> None:
    prior = {"mean_diameter_mm": before_mm, "category": was, "months_before": months}

    answer = by_lung_rads(exam="follow_up", change="existing", nodule="solid", mean_diameter_mm=now_mm, prior=prior)

    assert (answer.status, answer.category) == ("no row", None)
    assert why in answer.notes[0]


def test_a_prior_that_does_not_exist_is_never_compared_with() -> None:
    prior = {"mean_diameter_mm": 6, "category": "3", "months_before": 6}
    stated = {"nodule": "solid", "mean_diameter_mm": 7.0}

    with pytest.raises(InvalidInput, match="prior: only a follow_up has an earlier CT"):
        by_lung_rads(**stated, prior=prior)
    with pytest.raises(InvalidInput, match="prior: a new nodule has no earlier size"):
        by_lung_rads(**stated, exam="follow_up", change="new", prior=prior)
    assert [a.field for a in by_lung_rads(**stated, exam="follow_up", change="existing").asks] == ["prior"]


def test_lung_rads_asks_only_for_what_decides() -> None:
    def asked(**stated: Any) -> list[str]:
        return [ask.field for ask in lung_rads(LungRadsRequest.model_validate(stated)).asks]

    assert asked() == ["exam", "nodule"]
    assert asked(exam="baseline", nodule="solid") == ["mean_diameter_mm"]
    assert asked(exam="baseline", nodule="solid", mean_diameter_mm=5) == []
    assert asked(exam="baseline", nodule="solid", mean_diameter_mm=9) == ["juxtapleural"]
    assert asked(exam="baseline", nodule="solid", mean_diameter_mm=12) == ["suspicious_features"]


def test_lung_rads_other_rows_and_modifiers() -> None:
    assert by_lung_rads(exam="prior_pending").category == "0"
    assert by_lung_rads(nodule="none").category == "1"
    assert by_lung_rads(nodule="none", other_findings=True).category == "1S"
    assert by_lung_rads(nodule="solid", mean_diameter_mm=9.9, juxtapleural=True).category == "2"
    assert by_lung_rads(nodule="solid", mean_diameter_mm=12, suspicious_features=True).category == "4X"
