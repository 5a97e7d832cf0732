"""Fleischner Society 2017 for nodules found by chance on CT, as a calculator from stated inputs. Measures nothing.

MacMahon et al., Radiology 2017; 284:228-243, doi:10.1148/radiol.2017161659, Table 1. Diameters are the mean of long
and short axis, rounded to the nearest millimetre (Bankier et al., Radiology 2017; 285:584-600).
"""

from __future__ import annotations

import math
from typing import Literal

from verticals.contract import InvalidInput
from verticals.medical.ct.guideline import asking, outside
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer

SOURCE = "Fleischner Society 2017 (doi:10.1148/radiol.2017161659), Table 1"
LEAST_AGE = 35

Band = Literal["<6", "6-8", ">8"]
_VOLUMES: dict[Band, str] = {"<6": "<100 mm3", "6-8": "100-250 mm3", ">8": ">250 mm3"}
_CONSIDER_LATER = "then consider CT at 18-24 months"
_LATER = "then CT at 18-24 months"

# (count, size, risk) -> advice. "low" and "high" as the table has them: high takes in intermediate risk.
_SOLID: dict[tuple[str, Band, str], str] = {
    ("single", "<6", "low"): "No routine follow-up.",
    ("single", "<6", "high"): "Optional CT at 12 months.",
    ("single", "6-8", "low"): f"CT at 6-12 months, {_CONSIDER_LATER}.",
    ("single", "6-8", "high"): f"CT at 6-12 months, {_LATER}.",
    ("single", ">8", "low"): "Consider CT at 3 months, PET/CT, or tissue sampling.",
    ("single", ">8", "high"): "Consider CT at 3 months, PET/CT, or tissue sampling.",
    ("multiple", "<6", "low"): "No routine follow-up.",
    ("multiple", "<6", "high"): "Optional CT at 12 months.",
    ("multiple", "6-8", "low"): f"CT at 3-6 months, {_CONSIDER_LATER}.",
    ("multiple", "6-8", "high"): f"CT at 3-6 months, {_LATER}.",
    ("multiple", ">8", "low"): f"CT at 3-6 months, {_CONSIDER_LATER}.",
    ("multiple", ">8", "high"): f"CT at 3-6 months, {_LATER}.",
}
# (count, kind, at least 6 mm) -> advice
_SUBSOLID: dict[tuple[str, str, bool], str] = {
    ("single", "ground_glass", False): "No routine follow-up.",
    ("single", "ground_glass", True): "CT at 6-12 months to confirm persistence, then CT every 2 years until 5 years.",
    ("single", "part_solid", False): "No routine follow-up.",
    ("single", "part_solid", True): "CT at 3-6 months to confirm persistence. If unchanged and solid component remains "
    "<6 mm, annual CT should be performed for 5 years.",
    ("multiple", "subsolid", False): "CT at 3-6 months. If stable, consider CT at 2 and 4 years.",
    ("multiple", "subsolid", True): "CT at 3-6 months. Subsequent management based on the most suspicious nodule(s).",
}
_QUESTIONS = {
    "age_years": "The patient's age.",
    "known_cancer": "Whether a primary cancer is known.",
    "immunosuppressed": "Whether the patient is immunosuppressed.",
    "screening": "Whether the CT was made for lung cancer screening.",
    "has_prior": "Whether an earlier CT shows this nodule.",
    "density": "Solid, part_solid or ground_glass.",
    "count": "Single or multiple nodules.",
    "mean_diameter_mm": "The mean of long and short axis on one slice, or volume_mm3, of the most suspicious nodule.",
    "risk": "The patient's risk of lung cancer, low or high, as the physician judges it.",
    "solid_component_mm": "The mean diameter of the solid component.",
}


def fleischner(stated: FleischnerRequest) -> GuidelineAnswer:
    """The row that fits, or what is missing, or why the guideline is not for this patient.

    Raises:
        InvalidInput: both sizes are given, or a solid component larger than its nodule.
    """
    _check(stated)
    if why := _not_for(stated):
        return outside(SOURCE, why)
    needed = ["age_years", "known_cancer", "immunosuppressed", "screening", "has_prior", "density", "count"]
    if stated.volume_mm3 is None:
        needed.append("mean_diameter_mm")
    if stated.density == "solid":
        needed.append("risk")
    band = _band(stated)
    if stated.density == "part_solid" and stated.count == "single" and band not in (None, "<6"):
        needed.append("solid_component_mm")
    if asks := stated.missing(_QUESTIONS, *needed):
        return asking(SOURCE, asks)
    assert band is not None
    assert stated.density is not None
    assert stated.count is not None
    if stated.density == "solid":
        assert stated.risk is not None
        advice = _SOLID[stated.count, band, stated.risk]
        row = f"A. Solid nodules; {stated.count}; {band} mm ({_VOLUMES[band]}); {stated.risk} risk"
        return GuidelineAnswer(status="answered", source=SOURCE, advice=advice, row=row)
    is_large = band != "<6"
    kind = "subsolid" if stated.count == "multiple" else stated.density
    size = ">=6 mm (>=100 mm3)" if is_large else "<6 mm (<100 mm3)"
    return GuidelineAnswer(
        status="answered",
        source=SOURCE,
        advice=_SUBSOLID[stated.count, kind, is_large],
        row=f"B. Subsolid nodules; {stated.count}; {stated.density.replace('_', ' ')}; {size}",
        notes=_notes(stated, is_large=is_large),
    )


def _check(stated: FleischnerRequest) -> None:
    size, part = stated.mean_diameter_mm, stated.solid_component_mm
    if size is not None and stated.volume_mm3 is not None:
        raise InvalidInput("give the diameter or the volume, not both", field="volume_mm3")
    if part is not None and size is not None and part > size:
        raise InvalidInput("must not be larger than mean_diameter_mm", field="solid_component_mm", value=part)


def _not_for(stated: FleischnerRequest) -> str:
    """Why the table is not for this patient (page 229); "" as far as is stated."""
    if stated.age_years is not None and stated.age_years < LEAST_AGE:
        return f"Not for patients younger than {LEAST_AGE} years."
    if stated.known_cancer:
        return "Not for patients with a known primary cancer."
    if stated.immunosuppressed:
        return "Not for immunosuppressed patients."
    if stated.screening:
        return "Not for lung cancer screening: use Lung-RADS."
    if stated.has_prior:
        return "The table is for nodules without an earlier CT: compare with that one first."
    return ""


def _band(stated: FleischnerRequest) -> Band | None:
    if stated.volume_mm3 is not None:
        return "<6" if stated.volume_mm3 < 100 else "6-8" if stated.volume_mm3 <= 250 else ">8"
    if stated.mean_diameter_mm is None:
        return None
    whole = math.floor(stated.mean_diameter_mm + 0.5)
    return "<6" if whole < 6 else "6-8" if whole <= 8 else ">8"


def _notes(stated: FleischnerRequest, *, is_large: bool) -> list[str]:
    if stated.count == "single" and stated.density == "ground_glass" and not is_large:
        return ["In certain suspicious nodules <6 mm, consider follow-up at 2 and 4 years."]
    if stated.count == "single" and stated.density == "part_solid" and is_large:
        assert stated.solid_component_mm is not None
        if math.floor(stated.solid_component_mm + 0.5) >= 6:
            return [
                "Persistent part-solid nodules with solid components >=6 mm should be considered highly suspicious."
            ]
    return []
