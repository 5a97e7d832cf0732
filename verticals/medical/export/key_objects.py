"""The images with findings as a DICOM Key Object Selection (TID 2010), by highdicom. Ignores where on them."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from verticals.medical.export.key_frames import key_frames
from verticals.medical.export.objects import MANUFACTURER, MODEL_NAME, beside, find, identity, to_bytes
from verticals.medical.export.sr import observing_device
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE


def to_dicom(report: Report, images: Sequence[Dataset]) -> list[bytes]:
    """One document that names each image on which a finding is largest; none without regions."""
    names = dict.fromkeys(sop_instance_uid for sop_instance_uid, _ in key_frames(report))
    if not names:
        return []
    key_images = [beside(find(images, name)) for name in names]
    selection = KeyObjectSelection(
        document_title=codes.cid7010.OfInterest,
        referenced_objects=key_images,
        observer_device_context=observing_device(),
        description=f"Images with findings of report {report.report_id}, version {report.version}. {NOTICE}.",
    )
    document = KeyObjectSelectionDocument(
        evidence=key_images,
        content=selection,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        **identity("ko", report),
    )
    return [to_bytes(document, report)]
