"""Series, instances, and what was not taken in: tables of the medical vertical. Ignores DICOM.

Pixels are stored only de-identified, in the same row and transaction as what is known about them; those of a held
object may still show text, and leave only through a person's release.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydicom import Dataset, dcmread
from sqlalchemy import JSON, CheckConstraint, LargeBinary, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column, undefer

from verticals.contract import Base, NotFound, Time, Unavailable
from verticals.medical.schemas import SeriesEntry

_Id = String(64)
_Sha = String(64)


class MedicalSeries(Base):
    """One series of a study: of one modality (PS3.3 A.1.2.3)."""

    __tablename__ = "medical_series"

    tenant: Mapped[str] = mapped_column(_Id, primary_key=True)
    series_uid: Mapped[str] = mapped_column(_Id, primary_key=True)  # the new one
    study_id: Mapped[str] = mapped_column(_Id, index=True)
    modality: Mapped[str] = mapped_column(String(16))
    body_part: Mapped[str] = mapped_column(String(16))
    series_number: Mapped[int | None]


class MedicalInstance(Base):
    """One de-identified SOP instance and what is known about it."""

    __tablename__ = "medical_instances"
    __table_args__ = (UniqueConstraint("tenant", "sop_instance_uid"),)

    instance_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    study_id: Mapped[str] = mapped_column(_Id, index=True)
    series_uid: Mapped[str] = mapped_column(_Id, index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_Id)  # the new one
    instance_number: Mapped[int | None]
    source_mac: Mapped[str] = mapped_column(_Sha)  # keyed hash of the object, de-identified but not yet masked
    origin: Mapped[str] = mapped_column(String(32))
    quality_verdict: Mapped[str] = mapped_column(String(8))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)  # quality, deidentification, image, findings_status
    num_bytes: Mapped[int]
    dicom: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    dicom_sha256: Mapped[str] = mapped_column(_Sha)
    received_at: Mapped[datetime] = mapped_column(Time)


class MedicalHeld(Base):
    """One object that waits for a person: its pixels may hold text. Its header is de-identified already."""

    __tablename__ = "medical_held"
    __table_args__ = (
        UniqueConstraint("tenant", "sop_instance_uid"),
        CheckConstraint("state IN ('held', 'released', 'masked', 'discarded')", name="ck_medical_held_state"),
    )

    held_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    sop_instance_uid: Mapped[str] = mapped_column(_Id)
    source_mac: Mapped[str] = mapped_column(_Sha)
    origin: Mapped[str] = mapped_column(String(32))
    modality: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    places: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)  # deidentification, told, frames; discarded_because
    state: Mapped[str] = mapped_column(String(16), default="held")
    dicom: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)  # empty once decided
    dicom_sha256: Mapped[str] = mapped_column(_Sha)
    received_at: Mapped[datetime] = mapped_column(Time)
    decided_by: Mapped[str | None] = mapped_column(_Id)
    decided_at: Mapped[datetime | None] = mapped_column(Time)


class MedicalRefusal(Base):
    """One object that was refused: where it came from, and which rule it broke. Nothing of the object itself."""

    __tablename__ = "medical_refusals"

    refusal_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(_Id, index=True)
    source: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    source_mac: Mapped[str] = mapped_column(_Sha)
    received_at: Mapped[datetime] = mapped_column(Time, index=True)


def get_instance(session: Session, tenant: str, instance_id: str) -> MedicalInstance:
    """The tenant's instance.

    Raises:
        NotFound: there is none of that id for this tenant.
    """
    row = MedicalInstance
    found = session.execute(
        select(row).where(row.tenant == tenant, row.instance_id == instance_id)
    ).scalar_one_or_none()
    if found is None:
        raise NotFound("no such image", field="instance_id", value=instance_id)
    return found


def list_instances(
    session: Session, tenant: str, study_id: str, *, series_uid: str | None = None
) -> list[MedicalInstance]:
    """A study's instances, or those of one of its series, by number within their series; pixels are read when asked."""
    row = MedicalInstance
    mine = select(row).where(row.tenant == tenant, row.study_id == study_id)
    if series_uid is not None:
        mine = mine.where(row.series_uid == series_uid)
    return list(session.execute(mine.order_by(row.series_uid, row.instance_number, row.instance_id)).scalars())


def get_held(session: Session, tenant: str, held_id: str) -> MedicalHeld:
    """The tenant's held object.

    Raises:
        NotFound: there is none of that id for this tenant.
    """
    mine = select(MedicalHeld).where(MedicalHeld.tenant == tenant, MedicalHeld.held_id == held_id)
    # With its pixels: read later, they may be gone by a decision, and would look altered.
    found = session.execute(mine.options(undefer(MedicalHeld.dicom))).scalar_one_or_none()
    if found is None:
        raise NotFound("no such held object", field="held_id", value=held_id)
    return found


def read_dicom(row: MedicalInstance | MedicalHeld) -> bytes:
    """The stored DICOM object.

    Raises:
        Unavailable: it does not match its hash.
    """
    if hashlib.sha256(row.dicom).hexdigest() != row.dicom_sha256:
        raise Unavailable(
            "the stored image does not match its hash", field="sop_instance_uid", value=row.sop_instance_uid
        )
    return row.dicom


def read_dataset(row: MedicalInstance | MedicalHeld, *, header_only: bool = False) -> Dataset:
    """The stored object, parsed; `header_only`: without its pixels.

    Raises:
        Unavailable: it does not match its hash.
    """
    return dcmread(io.BytesIO(read_dicom(row)), stop_before_pixels=header_only)


def study_bytes(session: Session, tenant: str, study_id: str) -> int:
    """How large the study's stored objects are together."""
    row = MedicalInstance
    total = select(func.coalesce(func.sum(row.num_bytes), 0)).where(row.tenant == tenant, row.study_id == study_id)
    return int(session.execute(total).scalar_one())


def series_entries(session: Session, tenant: str, images: Sequence[MedicalInstance]) -> list[SeriesEntry]:
    """The series that the images are of, in order of their numbers."""
    uids = {image.series_uid for image in images}
    rows = session.execute(
        select(MedicalSeries).where(MedicalSeries.tenant == tenant, MedicalSeries.series_uid.in_(uids))
    ).scalars()
    entries = []
    for row in sorted(rows, key=lambda row: (row.series_number is None, row.series_number, row.series_uid)):
        own = [image for image in images if image.series_uid == row.series_uid]
        entries.append(
            SeriesEntry(
                series_uid=row.series_uid,
                series_number=row.series_number,
                modality=row.modality,
                body_part=row.body_part,
                instances=[image.instance_id for image in own],
                sop_instance_uids=[image.sop_instance_uid for image in own],
                quality=Counter(image.quality_verdict for image in own),
            )
        )
    return entries
