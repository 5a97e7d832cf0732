"""Made-up readings beyond the report: a CT stack with nodule candidates, and a fundus photograph's steps."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from verticals.contract import Handler, InvalidInput
from verticals.medical import schemas as s
from verticals.medical.ct.fleischner import fleischner
from verticals.medical.ct.lung_rads import lung_rads
from verticals.medical.ct.reader import STATUS
from verticals.medical.ct.schemas import NoduleSize, NodulesRequest, NodulesResponse
from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Region
from verticals.medical.fundus.schemas import FundusStep, FundusStepsRequest, FundusStepsResponse, VesselMask
from verticals.medical.fundus.steps import NO_GRADER
from verticals.medical.record_schemas import RecordFact, RecordRequest, RecordResponse

STACK, EYE = "s-8", "s-9"
SLICES = ("2.25.81", "2.25.82", "2.25.83")


def study(plain: s.StudyResponse, study_id: str) -> s.StudyResponse:
    """A made-up study as a stack of three slices, or as a photograph."""
    if study_id == EYE:
        image = plain.image.model_copy(update={"photometric": "RGB", "units": "unspecified"})
        return plain.model_copy(update={"study_id": EYE, "modality": "OP", "image": image})
    instances = [f"i-8{n}" for n in range(1, 4)]
    series = plain.series[0].model_copy(update={"instances": instances, "sop_instance_uids": list(SLICES)})
    return plain.model_copy(update={"series": [series], "drafted_from": instances[0]})


def _box(uid: str, size: float) -> Region:
    ends = (100.0, 100.0 + size)
    points = ((ends[0], ends[0]), (ends[1], ends[0]), (ends[1], ends[1]), (ends[0], ends[1]), (ends[0], ends[0]))
    return Region(sop_instance_uid=uid, shape="polyline", points=points)


def nodules(request: NodulesRequest) -> NodulesResponse:
    """One candidate that is largest on the third slice."""
    assert request.unvalidated
    found = Finding(
        finding_id="f1", kind="nodule", presence="uncertain", site="upper_lung_zone", side="left",
        measurements=(Measurement(name="diameter", value=7.2, unit="mm"),),
        regions=(_box(SLICES[1], 8), _box(SLICES[2], 12)), model="phantom-nodules@1.0",
    )  # fmt: skip
    size = NoduleSize(
        finding_id="f1", center_mm=(1, 2, 3), long_mm=8.1, short_mm=6.3, mean_mm=7.2, volume_mm3=195, density="solid",
        score=0.61,
    )  # fmt: skip
    return NodulesResponse(
        study_id=request.study_id, series_uid=str(request.series_uid), validated=False,
        status=s.FindingsStatus(status="applied", reason=f"{STATUS}. Looked for nodules.", model="phantom-nodules@1.0"),
        evidence=EvidenceGraph(findings=(found,)), sizes=[size],
    )  # fmt: skip


def steps(request: FundusStepsRequest) -> FundusStepsResponse:
    """All passed but the grade."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 4), np.uint8)).save(out, "PNG")
    told = {
        "field": "540 pixels across the field.", "quality": "Every measure is within its limits.",
        "side": "The optic disc lies where a right eye has it.", "vessels": "11.0% of the field, by line filter.",
        "candidates": "None; not validated on outlined lesions, each is to be looked at.",
    }  # fmt: skip
    listed: list[Any] = [{"name": name, "state": "passed", "reason": reason} for name, reason in told.items()]
    listed.append({"name": "grade", "state": "no validated model", "reason": NO_GRADER})
    return FundusStepsResponse(
        study_id=request.study_id, instance_id="i-8", sop_instance_uid="2.25.8", model="fundus steps 1, line filter",
        steps=[FundusStep.model_validate(one) for one in listed], eye="right", disc=_box("2.25.8", 40),
        fovea=Region(sop_instance_uid="2.25.8", shape="point", points=((60.5, 128.5),)),
        vessels=VesselMask(png=base64.b64encode(out.getvalue()).decode(), left=0, top=0, right=256, bottom=256),
    )  # fmt: skip


def record(request: RecordRequest) -> RecordResponse:
    """Asthma now, no fever; only of patient P-1."""
    if request.patient_id != "P-1":
        raise InvalidInput("is not the patient of the study", field="patient_id", remedy="Send the Patient ID.")
    asthma = RecordFact(kind="problem", text="asthma", presence="present", is_history=False)
    fever = RecordFact(kind="problem", text="fever", presence="absent", is_history=False)
    return RecordResponse(problems=[asthma, fever], medicines=[], indication="Problems: asthma.")


def handlers() -> Mapping[str, Handler]:
    """The calculators are the real ones."""
    functions: dict[str, Any] = {
        "ct_nodules": nodules, "fundus_steps": steps, "fleischner": fleischner, "lung_rads": lung_rads,
        "read_record": record,
    }  # fmt: skip
    return {name: lambda request, _context, act=act: act(request) for name, act in functions.items()}
