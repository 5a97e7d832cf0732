"""A chest CT's nodule candidates as evidence: refusals first, then lungs, candidates, sizes, outlines. Ignores storage.

What counts as validated: a model whose card has figures from patients. The packaged one learned from SYNTHETIC chests
alone, so it never says that a nodule is there or is not: its candidates are uncertain, without a probability, and are
shown only to who asks for unvalidated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from verticals.medical.ct.candidates import Candidate, mark_reach_mm, strongest
from verticals.medical.ct.features import features
from verticals.medical.ct.first_look import find_candidates
from verticals.medical.ct.lungs import Lungs, find_lungs
from verticals.medical.ct.measure import Nodule, measure
from verticals.medical.ct.outlines import outlines
from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Region
from verticals.medical.schemas import FindingsStatus
from verticals.medical.series import Volume

STATUS = "Research model, trained on synthetic phantoms only; not validated on patients"
MAX_GAP_MM, MAX_PIXEL_MM = 2.5, 1.2  # what it was trained on
LEAST_MM, MOST_MM = 3.0, 30.0  # larger is a mass (Hansell 2008, Radiology 246:697)
MOST_SHOWN = 20
_AXIAL = 0.99  # least cosine between the slices' normal and the body's axis


class CandidateModel(Protocol):
    """What ranks candidates: `ct.model.NoduleModel`."""

    @property
    def threshold(self) -> float: ...

    def scores(self, features_CF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of each candidate, 0 to 1, (C,)."""


@dataclass(frozen=True)
class FoundNodule:
    """A candidate that is shown: the finding, its sizes, and how the model ranks it (no probability)."""

    finding: Finding
    nodule: Nodule
    score: float


@dataclass(frozen=True)
class NoduleReader:
    """Reads volumes; every finding bears its name and version.

    Attributes:
        card: Of the model; `validated_on` names patients' data with figures, or is not there.
    """

    model: CandidateModel
    name_and_version: str
    card: Mapping[str, Any]

    @property
    def is_validated(self) -> bool:
        """Whether figures from patients say what it can do."""
        return bool(self.card.get("validated_on"))

    def read(self, volume: Volume, *, unvalidated: bool = False) -> tuple[FindingsStatus, list[FoundNodule]]:
        """The candidates, best first; or why there are none.

        Args:
            unvalidated: Show candidates of a model that is not validated.
        """
        if why := refusal(volume):
            return _none(f"{self.name_and_version} does not read this series: {why}"), []
        if not (self.is_validated or unvalidated):
            return _none(f"{STATUS}: its candidates are not shown. No nodule was looked for."), []
        lungs = find_lungs(volume)
        if lungs is None:
            return _none(f"{self.name_and_version} does not read this series: no lungs were found."), []
        found = self._find(volume, lungs)
        scope = f"{STATUS}. Looked for nodules of {LEAST_MM:g} to {MOST_MM:g} mm; for nothing else."
        return FindingsStatus(status="applied", reason=scope, model=self.name_and_version), found

    def _find(self, volume: Volume, lungs: Lungs) -> list[FoundNodule]:
        candidates = find_candidates(volume, lungs.closed)
        scores = self.model.scores(features(volume, lungs.closed, candidates))
        places_mm = np.array([each.index for each in candidates]).reshape(-1, 3) * volume.spacing_mm
        made: list[FoundNodule] = []
        reach_mm = mark_reach_mm(np.array([each.diameter_mm for each in candidates]))
        for i in strongest(places_mm, scores, reach_mm):
            if scores[i] < self.model.threshold or len(made) == MOST_SHOWN:
                break
            nodule = _measured(volume, lungs, candidates[i])
            if nodule is not None and not any(_same(nodule, other.nodule) for other in made):
                finding = self._finding(volume, lungs, nodule, len(made) + 1)
                made.append(FoundNodule(finding, nodule, float(scores[i])))
        return made

    def _finding(self, volume: Volume, lungs: Lungs, nodule: Nodule, number: int) -> Finding:
        x, _, z = nodule.center_mm
        return Finding(
            finding_id=f"f{number}",
            kind="nodule",
            presence="uncertain",
            site=lungs.zone(z),
            side=lungs.side(x),
            measurements=(
                Measurement(name="diameter", value=round(nodule.axes.mean_mm, 1), unit="mm"),
                Measurement(name="volume", value=round(nodule.volume_mm3), unit="mm3"),
            ),
            regions=regions(volume, nodule),
            model=self.name_and_version,
        )


def evidence(found: list[FoundNodule]) -> EvidenceGraph:
    """The findings of these candidates."""
    return EvidenceGraph(findings=tuple(each.finding for each in found))


def regions(volume: Volume, nodule: Nodule) -> tuple[Region, ...]:
    """The nodule's outline on each slice, in pixels of the stored image."""
    made = []
    first, top, left = nodule.corner
    for i, plane in enumerate(nodule.mask):
        uid, frame = volume.slices[first + i]
        for line in outlines(plane):
            points = tuple((x + left, y + top) for x, y in line)
            made.append(Region(sop_instance_uid=uid, frame=frame, shape="polyline", points=points))
    return tuple(made)


def refusal(volume: Volume) -> str:
    """Why a volume is not one of those that the model knows; "" if it is."""
    if volume.units != "HU":
        return "its values are not Hounsfield units."
    normal = volume.affine[:3, 0] / np.linalg.norm(volume.affine[:3, 0])
    if abs(normal[2]) < _AXIAL:
        return "its slices are not axial."
    gap_mm, row_mm, column_mm = volume.spacing_mm
    if gap_mm > MAX_GAP_MM:
        return f"its slices are {gap_mm:g} mm apart; the model knows at most {MAX_GAP_MM:g} mm."
    if max(row_mm, column_mm) > MAX_PIXEL_MM:
        return f"its pixels are {max(row_mm, column_mm):g} mm wide; the model knows at most {MAX_PIXEL_MM:g} mm."
    return ""


def _measured(volume: Volume, lungs: Lungs, candidate: Candidate) -> Nodule | None:
    """The nodule at a candidate, if it is one by its size."""
    nodule = measure(volume, lungs.closed, np.array(candidate.index), candidate.diameter_mm)
    if nodule is None or not nodule.mask.any() or not LEAST_MM <= nodule.axes.mean_mm <= MOST_MM:
        return None
    return nodule


def _same(one: Nodule, other: Nodule) -> bool:
    away = float(np.linalg.norm(np.subtract(one.center_mm, other.center_mm)))
    return away < max(one.axes.mean_mm, other.axes.mean_mm) / 2


def _none(why: str) -> FindingsStatus:
    return FindingsStatus(status="no model available", reason=why)
