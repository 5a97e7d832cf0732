"""ACR Lung-RADS v2022 for nodules on screening CT, as a calculator from stated inputs. Measures nothing.

American College of Radiology, Lung-RADS v2022 (November 2022), assessment categories. Diameters are the mean of long
and short axis to one decimal place (note 4). Growth: more than 1.5 mm within 12 months (note 6); a nodule that crosses
a size threshold without it is classified by size. Airway nodules and atypical cysts are not covered, and category 0
only where priors are awaited or part of the lungs cannot be read.
"""

from __future__ import annotations

from typing import Literal

from verticals.contract import InvalidInput
from verticals.medical.ct.guideline import asking, silent
from verticals.medical.ct.guideline_schemas import GuidelineAnswer, LungRadsRequest, Prior

SOURCE = "ACR Lung-RADS v2022"
GROWTH_MM, YEAR_MONTHS = 1.5, 12.0
JUXTAPLEURAL_BELOW_MM = 10.0
LARGE_GROUND_GLASS_MM = 30.0

Category = Literal["0", "1", "2", "3", "4A", "4B"]
_ADVICE: dict[str, str] = {
    "0": "Comparison to prior chest CT, or additional lung cancer screening CT imaging needed.",
    "1": "12-month screening LDCT.",
    "2": "12-month screening LDCT.",
    "3": "6-month LDCT.",
    "4A": "3-month LDCT; PET/CT may be considered if there is a >=8 mm solid nodule or solid component.",
    "4B": "Referral for further clinical evaluation: diagnostic chest CT with or without contrast, PET/CT, tissue "
    "sampling, by the probability of malignancy and comorbidities.",
    "4X": "Referral for further clinical evaluation: diagnostic chest CT with or without contrast, PET/CT, tissue "
    "sampling, by the probability of malignancy and comorbidities.",
}
_STEP: dict[str, tuple[Category, float]] = {"3": ("2", 6.0), "4A": ("3", 3.0)}  # stable for so many months: category
_QUESTIONS = {
    "exam": "baseline, follow_up, prior_pending (an earlier CT is being located) or incomplete (lungs not all read).",
    "nodule": "none, benign_features, solid, part_solid or ground_glass: the most suspicious one.",
    "mean_diameter_mm": "The mean of long and short axis on one slice, to one decimal.",
    "solid_component_mm": "The mean diameter of the solid component; 0 without one.",
    "juxtapleural": "Whether it lies at the pleura, solid, smooth, and oval, lentiform or triangular.",
    "change": "new, or existing (an earlier CT shows it).",
    "prior": "The earlier CT's size, category and how many months ago it was made.",
    "suspicious_features": "Whether further features raise the suspicion (spiculation, lymph nodes, metastasis ...).",
}

Row = tuple[Category, str]


def lung_rads(stated: LungRadsRequest) -> GuidelineAnswer:
    """The category and its row, or what is missing, or that no row fits.

    Raises:
        InvalidInput: a prior is given of an examination that has none, or sizes that contradict each other.
    """
    _check(stated)
    if stated.exam in ("prior_pending", "incomplete"):
        why = (
            "Prior chest CT being located for comparison" if stated.exam == "prior_pending" else "Part or all of lungs"
        )
        return _answer(stated, ("0", why + ("" if stated.exam == "prior_pending" else " cannot be evaluated")))
    if asks := stated.missing(_QUESTIONS, "exam", "nodule"):
        return asking(SOURCE, asks)
    if stated.nodule == "none":
        return _answer(stated, ("1", "No lung nodules"))
    if stated.nodule == "benign_features":
        return _answer(stated, ("1", "Nodule with benign features: calcified in a benign pattern, or fat-containing"))
    if asks := stated.missing(_QUESTIONS, *_needed(stated)):
        return asking(SOURCE, asks)
    row = _existing(stated) if stated.change == "existing" else _first_seen(stated)
    if isinstance(row, str):
        return silent(SOURCE, row)
    if row[0] in ("3", "4A", "4B") and stated.suspicious_features is None:
        return asking(SOURCE, stated.missing(_QUESTIONS, "suspicious_features"))
    return _answer(stated, row)


def _check(stated: LungRadsRequest) -> None:
    size, part = stated.mean_diameter_mm, stated.solid_component_mm
    if stated.exam != "follow_up" and (stated.prior is not None or stated.change is not None):
        raise InvalidInput("only a follow_up has an earlier CT to compare with", field="prior", value=stated.exam)
    if stated.change == "new" and stated.prior is not None:
        raise InvalidInput("a new nodule has no earlier size", field="prior")
    if size is not None and part is not None and part > size:
        raise InvalidInput("must not be larger than mean_diameter_mm", field="solid_component_mm", value=part)


def _needed(stated: LungRadsRequest) -> list[str]:
    needed = ["mean_diameter_mm"]
    if stated.exam == "follow_up":
        needed.append("change")
    if stated.change == "existing":
        needed.append("prior")
    if stated.nodule == "part_solid":
        needed.append("solid_component_mm")
    size = stated.mean_diameter_mm
    if stated.nodule == "solid" and stated.change != "existing" and size is not None:
        is_benign_anyway = size < (4 if stated.change == "new" else 6)
        if not is_benign_anyway and size < JUXTAPLEURAL_BELOW_MM:
            needed.append("juxtapleural")
    return needed


def _first_seen(stated: LungRadsRequest) -> Row:
    """Of a nodule at baseline, or new."""
    size, when = _tenth(stated.mean_diameter_mm), "new" if stated.change == "new" else "baseline"
    if stated.nodule == "ground_glass":
        if size < LARGE_GROUND_GLASS_MM:
            return "2", "Non solid nodule <30 mm at baseline, new, or growing"
        return "3", "Non solid nodule >=30 mm at baseline or new"
    if stated.nodule == "part_solid":
        return _part_solid(size, _tenth(stated.solid_component_mm), when)
    if stated.juxtapleural and size < JUXTAPLEURAL_BELOW_MM:
        return "2", "Juxtapleural nodule <10 mm at baseline or new, solid, smooth, oval, lentiform or triangular"
    return _solid(size, when)


def _solid(size: float, when: str) -> Row:
    limits = (4.0, 6.0, 8.0) if when == "new" else (6.0, 8.0, 15.0)
    categories: tuple[Category, ...] = ("2", "3", "4A")
    low = 0.0
    for category, high in zip(categories, limits, strict=True):
        if size < high:
            span = f"<{high:g} mm" if not low else f">={low:g} to <{high:g} mm"
            return category, f"Solid nodule {span}, {when}"
        low = high
    return "4B", f"Solid nodule >={low:g} mm, {when}"


def _part_solid(size: float, part: float, when: str) -> Row:
    if when == "new":
        if part >= 4:
            return "4B", "Part solid nodule with a new or growing >=4 mm solid component"
        if size < 6:
            return "3", "Part solid nodule <6 mm total mean diameter, new"
        return "4A", "Part solid nodule with a new or growing <4 mm solid component"
    if size < 6:
        return "2", "Part solid nodule <6 mm total mean diameter at baseline"
    if part < 6:
        return "3", "Part solid nodule >=6 mm with solid component <6 mm at baseline"
    if part < 8:
        return "4A", "Part solid nodule >=6 mm with solid component >=6 mm to <8 mm at baseline"
    return "4B", "Part solid nodule with solid component >=8 mm at baseline"


def _existing(stated: LungRadsRequest) -> Row | str:
    """Of a nodule that an earlier CT shows; a text where the table has no row."""
    prior, size = stated.prior, _tenth(stated.mean_diameter_mm)
    assert prior is not None
    before, now = prior.mean_diameter_mm, size
    if stated.nodule == "part_solid":
        if prior.solid_component_mm is None:
            return "The earlier CT's solid component is not stated: without it, no growth can be told."
        before, now = prior.solid_component_mm, _tenth(stated.solid_component_mm)
        if before == 0 < now:
            return _grown(stated.nodule, size, now)
    growth = round(now - _tenth(before), 1)
    if growth > GROWTH_MM * max(1.0, prior.months_before / YEAR_MONTHS):
        return _grown(str(stated.nodule), size, now)
    if growth > GROWTH_MM:
        return "It grew, by no more than 1.5 mm in 12 months: slow growth is judged over several examinations."
    if stated.nodule == "part_solid" and round(size - _tenth(prior.mean_diameter_mm), 1) > GROWTH_MM:
        return "The whole grew and its solid component did not: the table has no row for it."
    if stated.nodule == "ground_glass":
        return "2", "Non solid nodule, stable or slowly growing"
    if crossed := _crossed(stated, prior):
        return crossed
    if prior.category == "2":
        return "2", "Nodule of category 2, stable or decreased in size"
    if prior.category in _STEP:
        category, months = _STEP[prior.category]
        if prior.months_before < months:
            return f"A category {prior.category} nodule is judged stable {months:g} months after, not before."
        return (
            category,
            f"Category {prior.category} nodule, stable or decreased in size at {months:g}-month follow-up CT",
        )
    return f"A stable nodule of category {prior.category} has no row: it changes only once proven benign."


def _crossed(stated: LungRadsRequest, prior: Prior) -> Row | None:
    """The row of a nodule that did not grow and yet reached the size of a higher category (note on size thresholds)."""
    size = _tenth(stated.mean_diameter_mm)
    if stated.juxtapleural and size < JUXTAPLEURAL_BELOW_MM:
        return None
    if stated.nodule == "part_solid":
        now = _part_solid(size, _tenth(stated.solid_component_mm), "baseline")
        then = _part_solid(_tenth(prior.mean_diameter_mm), _tenth(prior.solid_component_mm), "baseline")
    else:
        now, then = _solid(size, "baseline"), _solid(_tenth(prior.mean_diameter_mm), "baseline")
    return (now[0], f"{now[1]}: its size threshold was crossed without growth") if now[0] > then[0] else None


def _grown(nodule: str, size: float, part: float) -> Row | str:
    if nodule == "ground_glass":
        if size < LARGE_GROUND_GLASS_MM:
            return "2", "Non solid nodule <30 mm at baseline, new, or growing"
        return "A growing non solid nodule of 30 mm or more has no row."
    if nodule == "part_solid":
        return _part_solid(max(size, 6.0), part, "new")
    if size < 8:
        return "4A", "Solid nodule growing, <8 mm"
    return "4B", "Solid nodule new or growing, >=8 mm"


def _tenth(size_mm: float | None) -> float:
    assert size_mm is not None
    return round(size_mm, 1)


def _answer(stated: LungRadsRequest, row: Row) -> GuidelineAnswer:
    category: str = row[0]
    if stated.suspicious_features and category in ("3", "4A", "4B"):
        category = "4X"
    return GuidelineAnswer(
        status="answered",
        source=SOURCE,
        category=category + ("S" if stated.other_findings else ""),
        advice=_ADVICE[category],
        row=row[1],
    )
