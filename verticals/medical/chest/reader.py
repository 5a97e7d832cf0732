"""The chest-film model as a findings model: header gate, image gate, then evidence. Ignores how the tower reads.

Side: with Patient Orientation L\\F (PS3.3 C.7.6.1.1.1) columns run to the patient's left, so the image's left is the
patient's right; with R\\F the film is mirrored; without it no side is told, for a film may have been flipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom.dataset import Dataset

from verticals.medical.chest.boxes import FoundBox
from verticals.medical.chest.model import LOCALISED, FilmReading, KindReading
from verticals.medical.evidence import EvidenceGraph, Finding, Presence, Region, Side
from verticals.medical.findings import Found, Image
from verticals.medical.uncertainty import COVERAGE
from verticals.medical.vision.pictures import Grey
from verticals.medical.vocabulary import KINDS

# What counts as validated, set before any figure was known: the lower bound of the cross-validated AUC's 95 % interval
# reaches what Hosmer and Lemeshow (2013, chapter 5) call acceptable discrimination, and conformal sets hold the truth.
LEAST_AUC = 0.70
LEAST_COVERAGE = COVERAGE - 0.03

VIEWS = ("PA", "AP")
BODY_PARTS = ("CHEST", "THORAX", "LUNG")
_MIDLINE = 0.05  # a box whose centre is nearer to the middle of the film has no side
# Upper and lower thirds of the mean lung field of the training films, which reaches from .12 to .75 of their height.
_UPPER_ENDS, _LOWER_BEGINS = 0.33, 0.54


def is_validated(figures: dict[str, Any]) -> bool:
    """Whether a kind's cross-validated figures, as the card has them, allow it to be said in a report."""
    coverage = min(figures["coverage_present"], figures["coverage_absent"])
    return bool(figures["auc"][1] >= LEAST_AUC and coverage >= LEAST_COVERAGE)


class FilmModel(Protocol):
    """What reads films: `chest.model.ChestModel`."""

    @property
    def kinds(self) -> tuple[str, ...]: ...

    @property
    def card(self) -> Mapping[str, Any]: ...

    def read(self, grey: Grey) -> FilmReading:
        """Read one film of (rows, columns), white highest."""


@dataclass(frozen=True)
class ChestReader:
    """A `FindingsModel`; every finding bears its name and version."""

    model: FilmModel
    name_and_version: str

    def reads(self, modality: str, body_part: str) -> bool:
        """Chest radiographs."""
        return is_chest_film(modality, body_part)

    @property
    def told(self) -> list[str]:
        """The kinds that are validated."""
        return [kind for kind in self.model.kinds if is_validated(self.model.card["figures"][kind])]

    def find(self, image: Image) -> Found:
        """What validated kinds there are, are not, or may be."""
        reading, told = self.look(image), self.told
        if isinstance(reading, str):
            return Found(refusal=reading)
        untold = [KINDS[kind].english for kind in self.model.kinds if kind not in told]
        names = ", ".join(KINDS[kind].english for kind in told)
        scope = f"Looked for: {names}; for nothing else." + (f" Not validated: {', '.join(untold)}." if untold else "")
        return Found(EvidenceGraph(findings=tuple(self._findings(image, reading, told))), scope=scope)

    def look(self, image: Image) -> FilmReading | str:
        """What the model makes of the film; or why it does not read it."""
        if why := header_refusal(image.header):
            return why
        reading = self.model.read(image.grey)
        if reading.strangeness > 1:
            return (
                f"out of distribution: it lies {reading.strangeness:.2f} times as far from the films that the model "
                "learned from as its limit allows."
            )
        return reading if self.told else "none of its findings has passed validation."

    def _findings(self, image: Image, reading: FilmReading, told: list[str]) -> list[Finding]:
        made: list[Finding] = []
        for kind in told:
            one = reading.kinds[kind]
            places: list[dict[str, Any]] = [{}]
            if presence(one) == "present" and kind == LOCALISED and reading.boxes:
                places = [self._place(image, box, reading) for box in reading.boxes]
            elif presence(one) != "absent":
                places = [{"site": KINDS[kind].sites[0]}]
            for place in places:
                made.append(
                    Finding(
                        finding_id=f"f{len(made) + 1}",
                        kind=kind,
                        presence=presence(one),
                        prob=round(one.prob, 4),
                        confidence_set=one.confidence_set,
                        model=self.name_and_version,
                        **place,
                    )
                )
        return made

    def _place(self, image: Image, box: FoundBox, reading: FilmReading) -> dict[str, Any]:
        """Site, side and region of a box."""
        left, top = reading.frame.to_film(box.left, box.top)
        right, bottom = reading.frame.to_film(box.right, box.bottom)
        outline = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
        uid = str(image.header.SOPInstanceUID)
        region = Region(sop_instance_uid=uid, frame=image.frame, shape="polyline", points=outline)
        return {"site": zone(box), "side": side(box, image.header), "regions": (region,)}


def is_chest_film(modality: str, body_part: str) -> bool:
    """As the header has it."""
    return modality in ("CR", "DX") and body_part in BODY_PARTS


def header_refusal(header: Dataset) -> str:
    """Why the header says that this is no upright frontal film of the whole chest; "" if it does not."""
    view = str(header.get("ViewPosition") or "")
    if view and view not in VIEWS:
        return f"View Position (0018,5101) is {view}; it learned from {' and '.join(VIEWS)} films alone."
    laterality = str(header.get("ImageLaterality") or header.get("Laterality") or "")
    if laterality in ("L", "R"):
        return f"Laterality is {laterality}: one side of the chest, not the whole."
    if (turned := _orientation(header)) and turned not in ("L\\F", "R\\F"):
        return f"Patient Orientation (0020,0020) is {turned}: not an upright frontal film."
    return ""


def _orientation(header: Dataset) -> str:
    value = header.get("PatientOrientation") or ""
    return value if isinstance(value, str) else "\\".join(str(part) for part in value)


def side(box: FoundBox, header: Dataset) -> Side | None:
    """The patient's side; None where the header does not tell how the film lies, or the box is in the middle."""
    column = box.center[0] - 0.5
    if abs(column) < _MIDLINE or not (turned := _orientation(header)):
        return None
    return "left" if (column > 0) == (turned == "L\\F") else "right"


def zone(box: FoundBox) -> str:
    """The lung zone of a box's centre, by thirds of the mean lung field: a place on the film, not in the lung."""
    row = box.center[1]
    return "upper_lung_zone" if row < _UPPER_ENDS else "lower_lung_zone" if row >= _LOWER_BEGINS else "middle_lung_zone"


def presence(reading: KindReading) -> Presence:
    """A set of one answer is that answer; both, or none, is a doubt."""
    return reading.confidence_set[0] if len(reading.confidence_set) == 1 else "uncertain"
