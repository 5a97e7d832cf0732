"""What all exported DICOM objects share: derived UIDs, equipment, moments, the study. Ignores content."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

from verticals.contract import Unavailable
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE

MANUFACTURER = "Trivium"
MODEL_NAME = "Trivium medical"
UTF_8 = "ISO_IR 192"

# Kind of object -> series number; a report has one series of each.
_SERIES = {"sr": 9000, "seg": 9001, "gsps": 9002, "ko": 9003, "sc": 9004}
_HIGHDICOM_ROOT = "1.2.826.0.1.3680043.10.511.3."  # under which highdicom draws random UIDs
# Type 2 attributes of patient and study: must be there, may be empty (PS3.3 C.7.1.1, C.7.2.1).
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName"),
)
_MOMENTS = (
    *(("ContentDate", "ContentTime"), ("InstanceCreationDate", "InstanceCreationTime")),
    *(("PresentationCreationDate", "PresentationCreationTime"), ("DateOfSecondaryCapture", "TimeOfSecondaryCapture")),
)


def uid(kind: str, name: str) -> str:
    """A UID that follows from its name alone (PS3.5 B.2)."""
    digest = hashlib.sha256(f"trivium {kind} {name}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def tracking_uid(report: Report, finding_id: str) -> str:
    """The same for a finding in every object and every version of its report."""
    return uid("finding", f"{report.report_id} {finding_id}")


def identity(kind: str, report: Report, number: int = 1) -> dict[str, Any]:
    """Keyword arguments that name the `number`th object of its kind that this version has."""
    return {
        "series_instance_uid": uid("series", f"{kind} {report.report_id}"),
        "series_number": _SERIES[kind],
        "sop_instance_uid": uid("version", f"{kind} {report.report_id} {report.content_sha256} {number}"),
        "instance_number": 1000 * (report.version - 1) + number,
        "series_description": NOTICE,
        "specific_character_set": UTF_8,
    }


def equipment() -> dict[str, str]:
    """Keyword arguments of the enhanced equipment module (PS3.3 C.7.5.2)."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": version("trivium"),
        "device_serial_number": "none",
    }


def beside(image: Dataset) -> Dataset:
    """The image with empty values where its file leaves type 2 attributes of patient or study out."""
    complete = Dataset()
    complete.update(image)
    complete.file_meta = image.file_meta
    for keyword in _TYPE_2:
        if keyword not in complete:
            setattr(complete, keyword, "")
    return complete


def find(images: Sequence[Dataset], sop_instance_uid: str) -> Dataset:
    """The image of that UID.

    Raises:
        Unavailable: the study has none.
    """
    for image in images:
        if image.SOPInstanceUID == sop_instance_uid:
            return image
    raise Unavailable(
        "the evidence names an image that the study does not hold",
        field="regions.sop_instance_uid",
        value=sop_instance_uid,
        remedy="Restore the study's images from a backup.",
    )


def take_over(document: Dataset, image: Dataset, *keywords: str) -> None:
    """Set type 2C attributes to the image's values; empty where its file does not say."""
    for keyword in keywords:
        setattr(document, keyword, image.get(keyword) or "")


def to_bytes(document: Dataset, report: Report) -> bytes:
    """The object as a Part 10 file, with the version's moment and derived UIDs for what highdicom drew or stamped."""
    for day, time in _MOMENTS:
        if day in document:
            setattr(document, day, DA(report.created_at.date()))
            setattr(document, time, TM(report.created_at.time()))
    document.TimezoneOffsetFromUTC = "+0000"
    for part in document.get("ContributingEquipmentSequence", []):
        part.ContributionDateTime = DT(report.created_at)
    _derive_uids(document)
    buffer = io.BytesIO()
    document.save_as(buffer)
    return buffer.getvalue()


def _derive_uids(document: Dataset) -> None:
    known: dict[str, str] = {}

    def derive(_dataset: Dataset, element: Any) -> None:
        if element.VR == "UI" and isinstance(element.value, str) and element.value.startswith(_HIGHDICOM_ROOT):
            element.value = known.setdefault(element.value, uid("part", f"{document.SOPInstanceUID} {len(known)}"))

    document.walk(derive)


def stamp(moment: datetime, item: Dataset, keyword: str) -> None:
    """Set a DT attribute of an item, UTC."""
    setattr(item, keyword, DT(moment))
