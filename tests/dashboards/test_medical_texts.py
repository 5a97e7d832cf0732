"""Every text that the medical services say has its Chinese: each is asked of the code that says it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dashboards.i18n import Labels
from dashboards.service_texts import in_chinese
from dashboards.views.medical_held import told
from verticals.contract import TriviumError
from verticals.medical import burned_in, drafting, findings, ingest, quality
from verticals.medical.chest import reader as films
from verticals.medical.confidentiality import METHOD
from verticals.medical.ct.fleischner import fleischner
from verticals.medical.ct.guideline_schemas import FleischnerRequest, GuidelineAnswer, LungRadsRequest
from verticals.medical.ct.lung_rads import lung_rads
from verticals.medical.ct.reader import STATUS, refusal
from verticals.medical.defects import DEFECTS
from verticals.medical.evidence import Finding
from verticals.medical.fundus import handlers as eyes
from verticals.medical.fundus import quality as photographs
from verticals.medical.fundus import side, steps
from verticals.medical.fundus.grading import GRADES
from verticals.medical.fundus.landmarks import Landmarks
from verticals.medical.probes import faulty_files, phantom, radiograph
from verticals.medical.report import Pictured
from verticals.medical.schemas import FindingsStatus, Sections
from verticals.medical.series import Volume
from verticals.medical.urgency import Stated, judge
from verticals.medical.verify import remarks
from verticals.medical.vocabulary import KINDS

# Attributes, codes, units and names of products are the same in both languages.
SAME = re.compile(
    r"PS3|DICM|DICOM|Part|VR|UID|SOP|RLE|JPEG|LS|PNG|ZIP|FHIR|Bundle|OB|OW|MONOCHROME\d|CT|MR|CR|DX|OP|PET|CHEST|PA|AP|LL|L|R|F"
    r"|Rows|Columns|Bits|Stored|Allocated|Number|of|Frames|Explicit|Little|Endian|Image|Laterality|View|Position|Patient"
    r"|Orientation|ID|Instance|Burned|In|Annotation|ICDR|Trivium|trivium|medical|train-dr|laterality|x|m@1|rapidocr\S*|stripes\S*"
    r"|YES|A|B|C|D|MiB|TRIVIUM_MAX_STUDY_MB|Crete|f\d|mm|e9|PET/CT|JPEG-LS|E|Fleischner|Lung-RADS|X|S|e|KeyError"
)


def left(text: str) -> list[str]:
    """Words that are still English."""
    words = re.findall(r"[A-Za-z][A-Za-z0-9_/@\-]*\w|[A-Za-z]", re.sub(r"'[^']*'", "", in_chinese(text)))
    return [word for word in words if not SAME.fullmatch(word)]


def checks() -> Iterator[str]:
    """Each measure as it is accepted, warned of and rejected."""
    learned = {f"{name} (learned)": quality.DEFECT for name in DEFECTS}
    for limits in (*quality.LIMITS.values(), learned, photographs.LIMITS):
        for name, limit in limits.items():
            yield name
            beyond = limit.reject_at * (0.5 if limit.higher_is_better else 1.5)
            for value in (limit.warn_at, (limit.warn_at + limit.reject_at) / 2, beyond):
                yield quality.judge(name, value, limit).reason


def gates() -> Iterator[str]:
    """Why a film, a photograph or a volume is not read."""
    for changes in ({"ViewPosition": "LL"}, {"ImageLaterality": "L"}, {"PatientOrientation": "F\\L"}):
        header = Dataset()
        for keyword, value in changes.items():
            setattr(header, keyword, value)
        yield f"m@1 does not read this image: {films.header_refusal(header)}"
    for stated, seen in product(("left", None), (None, "left", "right", "middle")):
        eye: Any = None if seen in (None, "middle") else seen
        marks = Landmarks((1.0, 1.0), 5.0, None, eye) if seen else None
        yield side.refusal(stated, marks)  # type: ignore[arg-type]
    black = steps.read(np.zeros((64, 64, 3), np.uint8), Dataset(), None)  # type: ignore[arg-type]
    yield black.refusal
    shape = (2, 2, 2)
    for units, axis, gap, wide in (("", 1.0, 1, 1), ("HU", 0.5, 1, 1), ("HU", 1.0, 3, 1), ("HU", 1.0, 1, 2)):
        affine = np.eye(4)
        affine[:3, 0] = (0, np.sqrt(1 - axis**2), axis)
        volume = Volume(np.zeros(shape, np.float32), units, affine, (gap, wide, wide), "1", ())  # type: ignore[arg-type]
        yield f"m@1 does not read this series: {refusal(volume)}"


def statuses() -> Iterator[str]:
    """What a draft's findings status says."""
    dataset = radiograph(phantom(0, size=64))
    status, _ = findings.apply(findings.Image(phantom(0, size=64), dataset), [])
    yield status.reason
    grade = quality.assess(phantom(0, size=64), "CR")
    names = ", ".join(kind.english for kind in KINDS.values())
    scope = FindingsStatus(status="applied", reason=f"Looked for: {names}; for nothing else. Not validated: {names}.")
    refused = status.model_copy(
        update={"reason": "m@1 does not read this image: Laterality is L: one side of the chest, not the whole."}
    )
    graphs = [
        findings.EvidenceGraph(findings=(Finding(finding_id="f1", kind="opacity", presence=said, model="m@1"),))
        for said in ("present", "absent")
    ]
    picture = Pictured(dataset, grade)
    images = [drafting.Read(picture, scope, graph) for graph in graphs] + [drafting.Read(picture, refused, None)]
    yield drafting.together(images)[0].reason
    yield f"{STATUS}: its candidates are not shown. No nodule was looked for."
    yield f"{STATUS}. Looked for nodules of 3 to 30 mm; for nothing else."
    looked = f"Looked for candidates of: {names}; not validated on outlined lesions, each is to be looked at."
    yield f"{looked} Grade: {steps.NO_GRADER}"


def photograph_steps() -> Iterator[str]:
    """What each step of a photograph says."""
    yield from (
        steps.NO_GRADER,
        eyes.NOT_REACHED,
        "540 pixels across the field.",
        "Every measure is within its limits.",
    )
    yield "The optic disc lies where a left eye has it."
    yield "microaneurysm 3, cotton-wool spot 1; not validated on outlined lesions, each is to be looked at."
    yield "None; not validated on outlined lesions, each is to be looked at."
    yield from (f"ICDR {grade}: {name}." for grade, name in enumerate(GRADES))


def refusals() -> Iterator[str]:
    """Rules and remedies of files that are refused."""
    for _, content in faulty_files():
        with warnings.catch_warnings(action="ignore"):
            try:
                ingest.read(content)
            except TriviumError as error:
                yield error.rule
                yield error.remedy or ""


def answers() -> Iterator[GuidelineAnswer]:
    """Of the calculators, over their inputs."""
    known = {"age_years": 60, "known_cancer": False, "immunosuppressed": False, "screening": False, "has_prior": False}
    yield fleischner(FleischnerRequest())
    for change in ({"age_years": 20}, *({name: True} for name in list(known)[1:])):
        yield fleischner(FleischnerRequest.model_validate(known | change))
    for density, count, size, risk in product(
        ("solid", "part_solid", "ground_glass"), ("single", "multiple"), (4, 7, 12), ("low", "high")
    ):
        stated = {"density": density, "count": count, "mean_diameter_mm": size, "risk": risk}
        yield fleischner(FleischnerRequest.model_validate(known | stated | {"solid_component_mm": size / 1.5}))
    yield lung_rads(LungRadsRequest())
    yield lung_rads(LungRadsRequest(exam="prior_pending"))
    for nodule, size in product(("none", "solid", "part_solid", "ground_glass"), (3.0, 7.0, 9.0, 20.0, 35.0)):
        stated = {"exam": "baseline", "nodule": nodule, "mean_diameter_mm": size, "solid_component_mm": size / 2}
        yield lung_rads(LungRadsRequest.model_validate({"exam": "baseline", "nodule": nodule}))
        yield lung_rads(LungRadsRequest.model_validate(stated | {"suspicious_features": False, "juxtapleural": False}))
        yield lung_rads(LungRadsRequest.model_validate(stated | {"exam": "follow_up"}))
        for before, part, category, months in product((2.0, 7.0, 31.0), (None, 2.0), ("3", "4A", "4B"), (1, 6, 30)):
            prior = {
                "mean_diameter_mm": before,
                "solid_component_mm": part,
                "category": category,
                "months_before": months,
            }
            later = {"exam": "follow_up", "change": "existing", "prior": prior, "suspicious_features": True}
            yield lung_rads(LungRadsRequest.model_validate(stated | later))


def guideline_texts() -> Iterator[str]:
    for answer in answers():
        yield from (answer.advice, *answer.notes, *(one.question for one in answer.asks))


def other_texts() -> Iterator[str]:
    """Urgency, remarks, and what de-identification did."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    for state, verdict, presence, days in product(
        ("PRELIMINARY", "FINAL"), ("accept", "reject"), ("present", "uncertain"), (0, 2)
    ):
        said = [Stated("edema", presence, is_by_model=True)]
        yield judge(state, verdict, said, received_at=now - timedelta(days=days), now=now)[1]
    drafted = findings.EvidenceGraph(
        findings=(
            Finding(finding_id="f1", kind="nodule", presence="present", site="lung", side="left", model="m@1"),
            Finding(finding_id="f2", kind="effusion", presence="absent", site="pleura", model="m@1"),
        )
    )
    typed = (
        "Right lung nodule. No nodule. Left lower lung zone nodule. Left lung nodule measuring 4 mm. Possible nodule."
        " Effusion. Possible effusion. Pneumothorax. Unchanged."
    )
    sections = Sections(examination="", technique="", comparison="", findings=typed, impression="")
    yield from (one.reason for one in remarks(sections, drafted, has_prior=False))
    yield METHOD
    yield "A person looked at every frame and masked 2 region(s)."
    for declared in ("YES", "NO", ""):
        dataset = radiograph(phantom(0, size=64))
        dataset.BurnedInAnnotation = declared
        yield burned_in.search(phantom(0, size=64)[None], dataset, _SeesNothing()).account


class _SeesNothing:
    version = "rapidocr@3"

    def read(self, grey_HW: Any) -> list[Any]:
        return []


@pytest.mark.parametrize(
    "said",
    [checks, gates, statuses, photograph_steps, refusals, guideline_texts, other_texts],
    ids=lambda said: said.__name__,
)
def test_every_text_is_told_in_chinese(said: Any) -> None:
    texts = {text for text in said() if text}

    assert texts
    assert {text: words for text in texts if (words := left(text))} == {}
    assert [text for text in texts if not re.search(r"[\u4e00-\u9fff]", in_chinese(text))] == []


def test_a_refusal_is_told_with_its_clause_and_what_to_do() -> None:
    reason = "BitsStored (0028,0101): must be 1 to 16 (PS3.5 8.1.1) (got 17). Send it again."

    assert told(Labels("zh"), reason) == ("BitsStored (0028,0101)", "17", "须为 1 至 16（PS3.5 8.1.1）. 请重新发送。")
