"""The operation that shows a photograph's reading step by step. Ignores how the steps work, and stores nothing."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from PIL import Image
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Context, InvalidInput
from verticals.medical import geometry, tables
from verticals.medical.colour import is_colour
from verticals.medical.evidence import Region
from verticals.medical.fundus.grading import GRADES
from verticals.medical.fundus.landmarks import DISC_RADIUS
from verticals.medical.fundus.lesions import KINDS
from verticals.medical.fundus.picture import SIDE
from verticals.medical.fundus.reader import FundusReader
from verticals.medical.fundus.schemas import (
    FundusStep,
    FundusStepsRequest,
    FundusStepsResponse,
    StepName,
    VesselMask,
)
from verticals.medical.fundus.steps import Reading, read
from verticals.medical.instance_tables import read_dataset
from verticals.medical.vocabulary import KINDS as WORDS

NOT_REACHED = "A step before it refused."
_TINT = (79, 195, 247)


@dataclass(frozen=True)
class EyeDesk:
    """Shows what a reader saw."""

    sessions: sessionmaker[Session]
    reader: FundusReader

    def steps(self, request: FundusStepsRequest, context: Context) -> FundusStepsResponse:
        """Read the photograph again, and say how far each step came.

        Raises:
            InvalidInput: it is no photograph in colour.
        """
        with self.sessions() as session:
            row = tables.get_image(session, context.tenant, request.study_id, request.instance_id)
            dataset = read_dataset(row)
        if not is_colour(dataset):
            raise InvalidInput("must be a photograph in colour", field="instance_id", value=row.instance_id)
        photograph = geometry.render(*geometry.stored_frame(dataset, 1))
        reading = read(photograph, dataset, self.reader.segmenter, self.reader.grader)
        return FundusStepsResponse(
            study_id=request.study_id,
            instance_id=row.instance_id,
            sop_instance_uid=dataset.SOPInstanceUID,
            model=self.reader.name_and_version,
            steps=_steps(reading, self.reader),
            eye=reading.eye,
            disc=_disc(reading, str(dataset.SOPInstanceUID)),
            fovea=_fovea(reading, str(dataset.SOPInstanceUID)),
            vessels=_vessels(reading),
        )


def _steps(reading: Reading, reader: FundusReader) -> list[FundusStep]:
    """Every step; behind the first that refused, none was reached."""
    done = list(_done(reading, reader))
    rest = get_args(StepName)[len(done) :]
    return [*done, *(FundusStep(name=name, state="not reached", reason=NOT_REACHED) for name in rest)]


def _done(reading: Reading, reader: FundusReader) -> Iterator[FundusStep]:
    retina = reading.retina
    if retina is None:
        yield FundusStep(name="field", state="refused", reason=reading.refusal)
        return
    yield FundusStep(name="field", state="passed", reason=f"{2 * retina.field.radius:.0f} pixels across the field.")
    poor = [check.reason for check in reading.checks if check.verdict != "accept"]
    told = " ".join(poor) or "Every measure is within its limits."
    if any(check.verdict == "reject" for check in reading.checks):
        yield FundusStep(name="quality", state="refused", reason=told)
        return
    yield FundusStep(name="quality", state="passed", reason=told)
    if reading.vessels is None:
        yield FundusStep(name="side", state="refused", reason=reading.refusal)
        return
    yield FundusStep(name="side", state="passed", reason=f"The optic disc lies where a {reading.eye} eye has it.")
    share = float(reading.vessels[retina.inside].mean())
    told = f"{share:.1%} of the field, by {reader.segmenter.name_and_version}."
    yield FundusStep(name="vessels", state="passed", reason=told)
    yield FundusStep(name="candidates", state="passed", reason=_counted(reading))
    if reading.grade is None:
        yield FundusStep(name="grade", state="no validated model", reason=reading.not_graded)
    else:
        yield FundusStep(name="grade", state="passed", reason=f"ICDR {reading.grade}: {GRADES[reading.grade]}.")


def _counted(reading: Reading) -> str:
    counts = Counter(spot.kind for spot in reading.candidates)
    told = ", ".join(f"{WORDS[kind].english} {counts[kind]}" for kind in KINDS if counts[kind])
    return f"{told or 'None'}; not validated on outlined lesions, each is to be looked at."


def _disc(reading: Reading, uid: str) -> Region | None:
    """A circle of the usual size around the disc's centre."""
    if reading.retina is None or reading.landmarks is None:
        return None
    column, row = reading.landmarks.disc
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = [(column + DISC_RADIUS * float(np.cos(a)), row + DISC_RADIUS * float(np.sin(a))) for a in angles]
    points = tuple(reading.retina.to_photograph(*point) for point in (*ring, ring[0]))
    return Region(sop_instance_uid=uid, shape="polyline", points=points)


def _fovea(reading: Reading, uid: str) -> Region | None:
    if reading.retina is None or reading.landmarks is None or reading.landmarks.fovea is None:
        return None
    point = reading.retina.to_photograph(*reading.landmarks.fovea)
    return Region(sop_instance_uid=uid, shape="point", points=(point,))


def _vessels(reading: Reading) -> VesselMask | None:
    if reading.retina is None or reading.vessels is None:
        return None
    tinted = np.zeros((SIDE, SIDE, 4), np.uint8)
    tinted[reading.vessels] = (*_TINT, 255)
    buffer = io.BytesIO()
    Image.fromarray(tinted, mode="RGBA").save(buffer, format="PNG")
    left, top = reading.retina.to_photograph(0, 0)
    right, bottom = reading.retina.to_photograph(SIDE, SIDE)
    png = base64.b64encode(buffer.getvalue()).decode()
    return VesselMask(png=png, left=left, top=top, right=right, bottom=bottom)
