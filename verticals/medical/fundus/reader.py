"""The fundus steps as a findings model: evidence with side and regions, or the step that refused. Ignores their ways.

Candidates are "uncertain" and bear no probability: none was validated. A grade is said only by a validated head.
"""

from __future__ import annotations

from dataclasses import dataclass

from verticals.medical.evidence import EvidenceGraph, Finding, Region
from verticals.medical.findings import Found, Image
from verticals.medical.fundus.lesions import KINDS, Candidate, outline
from verticals.medical.fundus.steps import Grader, Reading, Segmenter, read
from verticals.medical.vocabulary import KINDS as WORDS

STEPS = "fundus steps 1"
GRADE_KINDS = ("dr", "dr_mild", "dr_moderate", "dr_severe", "dr_proliferative")  # ICDR 0 to 4; 0: "dr" is absent
MOST_REGIONS = 50  # of a kind, the strongest


@dataclass(frozen=True)
class FundusReader:
    """A `FindingsModel`; `grader` None: no grading head has passed validation."""

    segmenter: Segmenter
    grader: Grader | None = None

    @property
    def name_and_version(self) -> str:
        """Steps, segmenter and grading head."""
        graded = f", {self.grader.name_and_version}" if self.grader else ""
        return f"{STEPS}, {self.segmenter.name_and_version}{graded}"

    def reads(self, modality: str, body_part: str) -> bool:
        """Ophthalmic photographs; whether it is one of the fundus, the quality step tells."""
        return modality == "OP" and body_part in ("RETINA", "EYE", "UNKNOWN")

    def find(self, image: Image) -> Found:
        """Candidates by kind and the grade, or the reason why not."""
        if image.colour is None:
            return Found(refusal="quality: it is not in colour.")
        reading = read(image.colour, image.header, self.segmenter, self.grader)
        if reading.refusal:
            return Found(refusal=reading.refusal)
        findings = self._candidates(image, reading) + self._grade(reading)
        names = ", ".join(WORDS[kind].english for kind in KINDS)
        numbered = [f.model_copy(update={"finding_id": f"f{n}"}) for n, f in enumerate(findings, start=1)]
        graded = f"Grade: {reading.not_graded}" if reading.grade is None else f"Graded by {self._grader_name}."
        scope = (
            f"Looked for candidates of: {names}; not validated on outlined lesions, each is to be looked at. {graded}"
        )
        return Found(EvidenceGraph(findings=tuple(numbered)), scope=scope)

    @property
    def _grader_name(self) -> str:
        return self.grader.name_and_version if self.grader else ""

    def _candidates(self, image: Image, reading: Reading) -> list[Finding]:
        made = []
        for kind in KINDS:
            spots = [spot for spot in reading.candidates if spot.kind == kind][:MOST_REGIONS]
            if spots:
                regions = tuple(_region(image, reading, spot) for spot in spots)
                made.append(
                    Finding(
                        finding_id="f1",
                        kind=kind,
                        presence="uncertain",
                        site="retina",
                        side=reading.eye,
                        regions=regions,
                        model=f"{STEPS}, {self.segmenter.name_and_version}",
                    )
                )
        return made

    def _grade(self, reading: Reading) -> list[Finding]:
        if reading.grade is None or reading.grade_prob is None:
            return []
        return [
            Finding(
                finding_id="f1",
                kind=GRADE_KINDS[reading.grade],
                presence="present" if reading.grade else "absent",
                site="retina",
                side=reading.eye,
                model=self._grader_name,
            )
        ]


def _region(image: Image, reading: Reading, spot: Candidate) -> Region:
    assert reading.retina is not None
    points = [reading.retina.to_photograph(*point) for point in outline(spot)]
    uid = str(image.header.SOPInstanceUID)
    return Region(sop_instance_uid=uid, frame=image.frame, shape="polyline", points=tuple(points))
