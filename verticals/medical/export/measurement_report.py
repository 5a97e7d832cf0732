"""The findings of a report as measurement groups of TID 1500, by highdicom. Ignores prose and the document around it.

One group a finding: TID 1501 without a region, TID 1410 with one, TID 1411 with several. Its tracking identifier is the
finding's id, so that the sentence, the FHIR Observation and the segment of the same finding are found again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContentItem,
    FindingSite,
    ImageRegion,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from verticals.medical.evidence import READER, Finding, Region
from verticals.medical.export.codes import (
    CONFIDENCE_SET,
    NO_UNIT,
    PRESENCE,
    PRESENCE_OF,
    PROBABILITY,
    QUANTITIES,
    SIDES,
    UNITS,
    split_model,
)
from verticals.medical.export.objects import find, tracking_uid
from verticals.medical.frames import num_frames
from verticals.medical.report import Report
from verticals.medical.vocabulary import KINDS, SITES, Code

ENGLISH = CodedConcept("en", "RFC5646", "English")
_PROCEDURES = {"CT": codes.cid100.CTUnspecifiedBodyRegion, "MR": codes.cid100.MRIUnspecifiedBodyRegion}
_PROCEDURES |= dict.fromkeys(("CR", "DX"), codes.cid100.XRUnspecifiedBodyRegion)


def measurement_report(
    report: Report, images: Sequence[Dataset], observers: Sequence[ContentItem]
) -> MeasurementReport:
    """The content tree, its findings in the order of the graph, which is not empty."""
    return MeasurementReport(
        observation_context=observers,
        procedure_reported=_PROCEDURES.get(images[0].Modality, codes.cid100.ImagingProcedure),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(ENGLISH),
        imaging_measurements=[_group(finding, report, images) for finding in report.evidence.findings],
    )


def concept(code: Code) -> CodedConcept:
    """The code as highdicom has it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _group(finding: Finding, report: Report, images: Sequence[Dataset]) -> MeasurementsAndQualitativeEvaluations:
    name, version = split_model(finding.model)
    said = {
        "tracking_identifier": TrackingIdentifier(
            uid=tracking_uid(report, finding.finding_id), identifier=finding.finding_id
        ),
        "finding_type": concept(KINDS[finding.kind].code),
        "finding_sites": _sites(finding),
        "algorithm_id": None if finding.model == READER else AlgorithmIdentification(name, version),
        "measurements": _measurements(finding),
        "qualitative_evaluations": _evaluations(finding),
    }
    regions = [_region(region, find(images, region.sop_instance_uid)) for region in finding.regions]
    if not regions:
        return MeasurementsAndQualitativeEvaluations(**said)
    if len(regions) == 1:
        return PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=regions[0], **said)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_regions=regions, **said)


def _sites(finding: Finding) -> list[FindingSite] | None:
    if finding.site is None:
        return None
    side = None if finding.side is None else concept(SIDES[finding.side])
    return [FindingSite(concept(SITES[finding.site].code), laterality=side)]


def _measurements(finding: Finding) -> list[Measurement]:
    """TID 300: sizes, and the probability where a validated model gave one."""
    sizes = [
        Measurement(concept(QUANTITIES[m.name]), value=m.value, unit=concept(UNITS[m.unit]))
        for m in finding.measurements
    ]
    if finding.prob is None:
        return sizes
    return [*sizes, Measurement(concept(PROBABILITY), value=finding.prob, unit=concept(NO_UNIT))]


def _evaluations(finding: Finding) -> list[QualitativeEvaluation]:
    presence = QualitativeEvaluation(concept(PRESENCE_OF), concept(PRESENCE[finding.presence]))
    doubt = [QualitativeEvaluation(concept(CONFIDENCE_SET), concept(PRESENCE[p])) for p in finding.confidence_set]
    return [presence, *doubt]


def _region(region: Region, image: Dataset) -> ImageRegion:
    """An SCOORD on its image, and on its frame where the image has several (PS3.3 C.18.6)."""
    numbers = [region.frame] if num_frames(image) > 1 else None
    return ImageRegion(
        graphic_type=region.shape.upper(),
        graphic_data=np.array(region.points),
        source_image=SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID, referenced_frame_numbers=numbers),
    )
