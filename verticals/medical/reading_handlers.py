"""The operations of the reading room: pixels for the viewer, the prior, quality and drift. Ignores HTTP."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.contract import Context, Handler
from verticals.medical import geometry, tables
from verticals.medical.drift import watch
from verticals.medical.instance_tables import read_dicom
from verticals.medical.reading_schemas import (
    MAX_SIDE,
    PixelsRequest,
    PixelsResponse,
    PriorRequest,
    PriorResponse,
    WatchRequest,
    WatchResponse,
)
from verticals.medical.schemas import ImageFacts
from verticals.undisturbed import see_one_state

Array = np.ndarray[Any, np.dtype[Any]]


def handlers(sessions: sessionmaker[Session]) -> Mapping[str, Handler]:
    """Operation name -> handler."""
    room = ReadingRoom(sessions)
    return {"pixels": room.pixels, "prior": room.prior, "watch": room.watch}


@dataclass(frozen=True)
class ReadingRoom:
    """What a reader sees beside worklist and report."""

    sessions: sessionmaker[Session]

    def pixels(self, request: PixelsRequest, context: Context) -> PixelsResponse:
        """One frame in 16 bits."""
        with self.sessions() as session:
            row = tables.get_image(session, context.tenant, request.study_id, request.instance_id)
            content, facts = read_dicom(row), ImageFacts.model_validate(row.details["image"])
        dataset = dcmread(io.BytesIO(content))
        stored, header = geometry.stored_frame(dataset, request.frame)
        colour = facts.photometric == "RGB"
        values = geometry.render(stored, header) if colour else geometry.modality_values(stored, header)
        sent, reduced_by = reduced(values, most=MAX_SIDE)
        packed, low, step = (sent.astype(np.uint8), 0.0, 1.0) if colour else pack(sent)
        return PixelsResponse(
            study_id=request.study_id,
            instance_id=row.instance_id,
            sop_instance_uid=dataset.SOPInstanceUID,
            frame=request.frame,
            image=facts,
            rows=values.shape[0],
            columns=values.shape[1],
            reduced_by=reduced_by,
            low=low,
            high=low + step * 65535,
            step=step,
            is_colour=colour,
            is_inverted=facts.photometric == "MONOCHROME1",
            curve=geometry.own_curve(header, low=low, high=low + step * 65535, steps=4096),
            png=base64.b64encode(_png(packed)).decode(),
        )

    def prior(self, request: PriorRequest, context: Context) -> PriorResponse:
        """The newest study before this one; the body part must be stated in both files, and be the same."""
        with self.sessions() as session:
            one = tables.get_study(session, context.tenant, request.study_id)
            if one.body_part == "UNKNOWN":
                return PriorResponse(study_id=None, reason="The file does not state a body part to compare.")
            row = tables.MedicalStudy
            same = select(row.study_id, row.modality, row.study_date, row.received_at).where(
                row.tenant == context.tenant,
                row.patient == one.patient,
                row.body_part == one.body_part,
                row.study_id != one.study_id,
                _is_before(one),
            )
            newest = same.order_by(row.study_date.desc(), row.received_at.desc())
            found = session.execute(newest.limit(1)).first()
        if found is None:
            return PriorResponse(study_id=None, reason="No earlier study of this patient and body part is stored here.")
        return PriorResponse(
            study_id=found.study_id,
            modality=found.modality,
            study_date=found.study_date or None,
            received_at=found.received_at,
            reason="Same patient and body part, examined earlier.",
        )

    def watch(self, request: WatchRequest, context: Context) -> WatchResponse:
        """The tenant's figures."""
        with self.sessions() as session:
            see_one_state(session)  # else what is signed meanwhile is counted in one figure and not in its total
            return watch(session, context.tenant, days=request.days, now=datetime.now(UTC))


def _is_before(one: tables.MedicalStudy) -> ColumnElement[bool]:
    """By the date of the examination; where a file states none, or it is the same day, by when it was received."""
    row = tables.MedicalStudy
    is_earlier = row.received_at < one.received_at
    if not one.study_date:
        return is_earlier
    undecided = or_(row.study_date == one.study_date, row.study_date == "")
    return or_(and_(row.study_date != "", row.study_date < one.study_date), and_(undecided, is_earlier))


def reduced(values: Array, *, most: int) -> tuple[Array, int]:
    """`values`, (rows, columns) or with colours behind, as means of n x n pixels; n brings both sides to `most`.

    An edge that does not fill a block repeats its last pixels.
    """
    n = -(-max(values.shape[:2]) // most)
    if n == 1:
        return values, 1
    rows, columns = (-side % n for side in values.shape[:2])
    padded = np.pad(values, ((0, rows), (0, columns), *[(0, 0)] * (values.ndim - 2)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // n, n, padded.shape[1] // n, n, *values.shape[2:])
    return np.asarray(blocks.mean(axis=(1, 3))), n


def pack(values: Array) -> tuple[Array, float, float]:
    """Values as (rows, columns, 3) of uint8, value = low + step * (256 * red + green); with low and step.

    Whole numbers within 16 bits are exact; others are rounded to a 65,535th of their range.
    """
    low, high = float(values.min()), float(values.max())
    is_whole = np.array_equal(values, np.rint(values)) and high - low <= 65535
    step = 1.0 if is_whole or high == low else (high - low) / 65535
    codes = np.rint((values - low) / step).astype(np.uint16)
    return np.stack((codes >> 8, codes & 255, np.zeros_like(codes)), axis=-1).astype(np.uint8), low, step


def _png(packed: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(packed, mode="RGB").save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
