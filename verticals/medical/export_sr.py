"""A report as DICOM SR: Basic Diagnostic Imaging Report (TID 2000), Enhanced SR, by highdicom. Ignores measurements.

TID 1500 is for measurements and has no place for the prose of sections; a report without one measurement is TID 2000.
The image is referenced as evidence of the document, not by a content item: no purpose in CID 7003 holds for an image
that no finding was drawn from.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterable
from datetime import datetime
from itertools import groupby

from highdicom.sr import (
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    LanguageOfContentItemAndDescendants,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DA, DT, TM

from verticals.medical.report import SIGNED, Block, Report, blocks
from verticals.medical.schemas import NOTICE

_SERIES_NUMBER = 9000
_ENGLISH = CodedConcept("en", "RFC5646", "English")
_CONTAINS = RelationshipTypeValues.CONTAINS
# Concept of the text in each section (PS3.16 CID 7002).
_ITEMS = {
    "55112-7": codes.cid7002.Summary,
    "55111-9": codes.cid7002.ProcedureDescription,
    "55114-3": codes.cid7002.ProcedureDescription,
    "59776-5": codes.cid7002.Finding,
    "19005-8": codes.cid7002.Impression,
    "55107-7": codes.cid7002.Conclusion,
}


def to_dicom(report: Report, image: Dataset) -> bytes:
    """The report as a Part 10 file in the study of `image`, which is its evidence; equal input gives equal bytes.

    Completion and verification flags follow the state (PS3.3 C.17.2): COMPLETE, VERIFIED and FINAL only once signed.
    """
    is_signed = report.state in SIGNED
    document = EnhancedSR(
        evidence=[image],
        content=_content(report, image),
        series_instance_uid=_uid("series", report.report_id),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=_uid("version", f"{report.report_id} {report.content_sha256}"),
        instance_number=report.version,
        manufacturer="Trivium",
        manufacturer_model_name="Trivium medical",
        series_description=NOTICE,
        is_complete=is_signed,
        is_final=is_signed,
        is_verified=is_signed,
        verifying_observer_name=_person(report.signer) if report.signer else None,
        verifying_organization="Not stated" if is_signed else None,
        specific_character_set="ISO_IR 192",
    )
    _date(document, report)
    buffer = io.BytesIO()
    document.save_as(buffer)
    return buffer.getvalue()


def _uid(kind: str, name: str) -> str:
    digest = hashlib.sha256(f"trivium {kind} {name}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def _person(name: str) -> str:
    """The name as one component group of VR PN; which part is the family name is not known, so none is split off."""
    return f"{name}^"


def _content(report: Report, image: Dataset) -> ContainerContentItem:
    title = {"CT": codes.cid7000.CTReport, "MR": codes.cid7000.MRIReport}.get(image.Modality, codes.cid7000.XRayReport)
    root = ContainerContentItem(name=title, is_content_continuous=False, template_id="2000")
    items: list[ContentItem] = list(LanguageOfContentItemAndDescendants(_ENGLISH))
    items += _observers(report)
    for (code, meaning), group in groupby(blocks(report), key=lambda b: (b.code, b.meaning)):
        items.append(_section(Code(code, "LN", meaning), group))
    root.ContentSequence = ContentSequence(items, is_root=False)
    return root


def _observers(report: Report) -> list[ContentItem]:
    """TID 1001: the software, and the signer once there is one."""
    device = DeviceObserverIdentifyingAttributes(uid=_uid("device", "medical"), name="Trivium", model_name=NOTICE)
    items = list(ObserverContext(codes.DCM.Device, device))
    if report.signer:
        items += ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(name=_person(report.signer)))
    return items


def _section(concept: Code, group: Iterable[Block]) -> ContainerContentItem:
    """TID 2002: one container and its texts."""
    container = ContainerContentItem(name=concept, is_content_continuous=False, relationship_type=_CONTAINS)
    texts = [TextContentItem(_ITEMS[block.code], block.text, relationship_type=_CONTAINS) for block in group]
    container.ContentSequence = ContentSequence(texts, is_root=False)
    return container


def _date(document: Dataset, report: Report) -> None:
    """highdicom stamps the moment of export; what matters is when the version was written and signed."""

    def stamp(moment: datetime, keyword: str) -> None:
        setattr(document, f"{keyword}Date", DA(moment.date()))
        setattr(document, f"{keyword}Time", TM(moment.time()))

    stamp(report.created_at, "Content")
    stamp(report.created_at, "InstanceCreation")
    document.TimezoneOffsetFromUTC = "+0000"
    for equipment in document.ContributingEquipmentSequence:
        equipment.ContributionDateTime = DT(report.created_at)
    if report.signed_at:
        document.VerifyingObserverSequence[0].VerificationDateTime = DT(report.signed_at)
