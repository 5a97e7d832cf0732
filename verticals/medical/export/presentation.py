"""The regions of a report as softcopy presentation states: outlines and words over the images. Ignores masks.

Grey images get a Grayscale, colour images a Color Softcopy Presentation State (PS3.3 A.33.1, A.33.2), by highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from highdicom import PresentationLUTTransformation
from highdicom.content import ReferencedImageSequence
from highdicom.pr import (
    ColorSoftcopyPresentationState,
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom.dataset import Dataset

from verticals.medical import geometry
from verticals.medical.evidence import Finding, Region
from verticals.medical.export.key_frames import alike
from verticals.medical.export.objects import beside, equipment, identity, take_over, to_bytes, tracking_uid
from verticals.medical.frames import frame_header, num_frames
from verticals.medical.report import Report
from verticals.medical.schemas import NOTICE
from verticals.medical.vocabulary import KINDS

_LAYER = GraphicLayer("FINDINGS", order=1, description=NOTICE)


def to_dicom(report: Report, images: Sequence[Dataset]) -> list[bytes]:
    """One presentation state for each group of like images with a region; none without regions."""
    made: list[bytes] = []
    named = {region.sop_instance_uid for finding in report.evidence.findings for region in finding.regions}
    for group in alike(images):
        shown = [beside(image) for image in group if image.SOPInstanceUID in named]
        if shown:
            state = _state(report, shown, len(made) + 1)
            take_over(state, shown[0], "Laterality")
            made.append(to_bytes(state, report))
    return made


def _state(report: Report, images: Sequence[Dataset], number: int) -> Dataset:
    common: dict[str, Any] = {
        "referenced_images": images,
        "content_label": "FINDINGS",
        "content_description": NOTICE,
        "graphic_layers": [_LAYER],
        "graphic_annotations": [note for image in images for note in _annotations(report, image)],
        **identity("gsps", report, number),
        **equipment(),
    }
    if images[0].SamplesPerPixel == 3:
        return ColorSoftcopyPresentationState(**common, icc_profile=images[0].get("ICCProfile") or _srgb())
    inverted = images[0].PhotometricInterpretation == "MONOCHROME1"
    return GrayscaleSoftcopyPresentationState(
        **common,
        voi_lut_transformations=_windows(images),
        presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if inverted else "IDENTITY"),
    )


def _srgb() -> bytes:
    """The profile of colours whose file names none; type 1 in a colour state (PS3.3 C.11.15)."""
    return (resources.files("highdicom") / "_icc_profiles" / "sRGB_v4_ICC_preference.icc").read_bytes()


def _windows(images: Sequence[Dataset]) -> list[SoftcopyVOILUTTransformation] | None:
    """The windows that `geometry.render` uses; None: every file has its own, which highdicom takes over."""
    if all("WindowCenter" in image or "VOILUTSequence" in image for image in images):
        return None
    return [_window(image) for image in images]


def _window(image: Dataset) -> SoftcopyVOILUTTransformation:
    stored = geometry.stored_frames(image)
    header = frame_header(image, len(stored) // 2)  # one window for all its frames, as in `geometry.measure`
    window = geometry.default_window(geometry.modality_values(stored, image), stored, header)
    return SoftcopyVOILUTTransformation(
        window_center=window.center, window_width=window.width, referenced_images=ReferencedImageSequence([image])
    )


def _annotations(report: Report, image: Dataset) -> list[GraphicAnnotation]:
    """One for each frame with a region, in the frames' order."""
    found = [(f, r) for f in report.evidence.findings for r in f.regions if r.sop_instance_uid == image.SOPInstanceUID]
    return [
        GraphicAnnotation(
            referenced_images=[image],
            graphic_layer=_LAYER,
            referenced_frame_number=frame if num_frames(image) > 1 else None,
            graphic_objects=[_graphic(f, r, report) for f, r in found if r.frame == frame],
            text_objects=[
                *(_words(f, r, report) for f, r in found if r.frame == frame),
                TextObject(NOTICE, "DISPLAY", bounding_box=(0.02, 0.94, 0.98, 0.98)),
            ],
        )
        for frame in sorted({r.frame for _, r in found})
    ]


def _graphic(finding: Finding, region: Region, report: Report) -> GraphicObject:
    return GraphicObject(region.shape.upper(), np.array(region.points), "PIXEL", **_tracking(finding, report))


def _words(finding: Finding, region: Region, report: Report) -> TextObject:
    left, top, _, _ = region.box
    words = f"{finding.finding_id} {KINDS[finding.kind].english}, {finding.presence}"
    return TextObject(words, "PIXEL", anchor_point=(left, top), **_tracking(finding, report))


def _tracking(finding: Finding, report: Report) -> dict[str, str]:
    return {"tracking_id": finding.finding_id, "tracking_uid": tracking_uid(report, finding.finding_id)}
