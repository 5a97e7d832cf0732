"""One frame's attributes, whatever the layout: plain, or in functional groups (PS3.3 C.7.6.16). Ignores pixels."""

from __future__ import annotations

from pydicom.dataset import Dataset

PER_FRAME, SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"

# Functional group -> what is read of it (PS3.3 C.7.6.16.2).
GROUPS: dict[str, tuple[str, ...]] = {
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction"),
}
_OF_ALL_FRAMES = (
    *("Modality", "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "Rows", "Columns"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "FrameOfReferenceUID", "SeriesInstanceUID", "ImageType"),
    *("BodyPartExamined", "GantryDetectorTilt"),
)


def is_enhanced(dataset: Dataset) -> bool:
    """Whether the frames' attributes are in functional groups."""
    return PER_FRAME in dataset or SHARED in dataset


def num_frames(dataset: Dataset) -> int:
    """How many frames the object has; one where it does not say."""
    return int(dataset.get("NumberOfFrames") or 1)


def frame_header(dataset: Dataset, index: int) -> Dataset:
    """Attributes of frame `index` (from 0) at the top level: of an object without functional groups, the object itself.

    A per-frame group goes before the shared one. What no group holds is absent, even where the file has it outside.
    """
    if not is_enhanced(dataset):
        return dataset
    flat = Dataset()
    for keyword in _OF_ALL_FRAMES:
        if keyword in dataset:
            flat[keyword] = dataset[keyword]
    per_frame = dataset.get(PER_FRAME) or []
    own = per_frame[index] if index < len(per_frame) else Dataset()
    shared = next(iter(dataset.get(SHARED) or []), Dataset())
    for group, keywords in GROUPS.items():
        items = own.get(group) or shared.get(group) or []
        for keyword in keywords:
            if items and keyword in items[0]:
                flat[keyword] = items[0][keyword]
    return flat
