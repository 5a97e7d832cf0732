"""A report as DICOM SR by highdicom: TID 1500 when there are findings, else TID 2000. Ignores how groups are written.

TID 1500 measurement reports hold the findings (`measurement_report`) and, the template being extensible, the prose of
the sections after them. Without one finding there is nothing to measure, and the report is a Basic Diagnostic Imaging
Report. There the images are referenced as evidence of the document, not by a content item: no purpose in CID 7003
holds for an image that no finding was drawn from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from highdicom.sr import (
    ComprehensiveSR,
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

from verticals.medical.export.measurement_report import ENGLISH, measurement_report
from verticals.medical.export.objects import MANUFACTURER, MODEL_NAME, beside, identity, stamp, to_bytes, uid
from verticals.medical.report import SIGNED, Block, Report, blocks
from verticals.medical.schemas import NOTICE

_CONTAINS = RelationshipTypeValues.CONTAINS
_TITLES = {"CT": codes.cid7000.CTReport, "MR": codes.cid7000.MRIReport}
_TITLES |= dict.fromkeys(("CR", "DX"), codes.cid7000.XRayReport)
# Concept of the text in each section (PS3.16 CID 7002).
_ITEMS = {
    "55112-7": codes.cid7002.Summary,
    "55111-9": codes.cid7002.ProcedureDescription,
    "55114-3": codes.cid7002.ProcedureDescription,
    "59776-5": codes.cid7002.Finding,
    "19005-8": codes.cid7002.Impression,
    "55107-7": codes.cid7002.Conclusion,
}


def to_dicom(report: Report, images: Sequence[Dataset]) -> bytes:
    """The report as a Part 10 file in the study of `images`, which are its evidence.

    Completion and verification flags follow the state (PS3.3 C.17.2): COMPLETE, VERIFIED and FINAL only once signed.

    Raises:
        Unavailable: the evidence names an image that is not among `images`.
    """
    is_signed = report.state in SIGNED
    has_findings = bool(report.evidence.findings)
    document = (ComprehensiveSR if has_findings else EnhancedSR)(
        evidence=[beside(image) for image in images],
        content=_measured(report, images) if has_findings else _prose(report, images[0].Modality),
        **identity("sr", report),
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        is_complete=is_signed,
        is_final=is_signed,
        is_verified=is_signed,
        verifying_observer_name=_person(report.signer) if report.signer else None,
        verifying_organization="Not stated" if is_signed else None,
    )
    if report.signed_at:
        stamp(report.signed_at, document.VerifyingObserverSequence[0], "VerificationDateTime")
    return to_bytes(document, report)


def _person(name: str) -> str:
    """The name as one component group of VR PN; which part is the family name is not known, so none is split off."""
    return f"{name}^"


def _prose(report: Report, modality: str) -> ContainerContentItem:
    """TID 2000."""
    title = _TITLES.get(modality, codes.cid7000.DiagnosticImagingReport)
    root = ContainerContentItem(name=title, is_content_continuous=False, template_id="2000")
    language = LanguageOfContentItemAndDescendants(ENGLISH)
    root.ContentSequence = ContentSequence([*language, *observers(report), *_sections(report)], is_root=False)
    return root


def _measured(report: Report, images: Sequence[Dataset]) -> ContainerContentItem:
    """TID 1500, and the sections after it."""
    root: ContainerContentItem = measurement_report(report, images, observers(report))[0]
    root.ContentSequence.extend(_sections(report))
    return root


def observing_device() -> ObserverContext:
    """The software."""
    device = DeviceObserverIdentifyingAttributes(uid=uid("device", "medical"), name=MANUFACTURER, model_name=NOTICE)
    return ObserverContext(codes.DCM.Device, device)


def observers(report: Report) -> list[ContentItem]:
    """TID 1001: the software, and the signer once there is one."""
    items = list(observing_device())
    if report.signer:
        items += ObserverContext(codes.DCM.Person, PersonObserverIdentifyingAttributes(name=_person(report.signer)))
    return items


def _sections(report: Report) -> list[ContentItem]:
    return [
        _section(Code(code, "LN", meaning), group)
        for (code, meaning), group in groupby(blocks(report), key=lambda b: (b.code, b.meaning))
    ]


def _section(concept: Code, group: Iterable[Block]) -> ContainerContentItem:
    """TID 2002: one container and its texts."""
    container = ContainerContentItem(name=concept, is_content_continuous=False, relationship_type=_CONTAINS)
    texts = [TextContentItem(_ITEMS[block.code], block.text, relationship_type=_CONTAINS) for block in group]
    container.ContentSequence = ContentSequence(texts, is_root=False)
    return container
