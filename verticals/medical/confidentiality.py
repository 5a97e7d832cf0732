"""The de-identification table: what happens to each attribute. Ignores how it is done (see `deidentify`).

PS3.15 Annex E, Basic Application Level Confidentiality Profile. Table E.1-1 names the attributes to remove and keeps the rest.
This table is stricter, so that an attribute nobody thought of cannot leak: it names what is kept, and **everything else is
removed (X)**, private attributes included. What is kept is numbers, pixel and LUT data, and coded strings whose value is in a
closed vocabulary; no free text, name, date or time is kept.
"""

from __future__ import annotations

from itertools import permutations, product

METHOD = "PS3.15 Annex E Basic Application Level Confidentiality Profile; Trivium keep-list 1"
METHOD_CODE = ("113100", "DCM", "Basic Application Confidentiality Profile")

# Z: present and empty afterwards (type 2 in the image IODs that `ingest` reads, PS3.3 A.2, A.3, A.4, A.26).
EMPTIED = frozenset(
    [
        "AccessionNumber",
        "Manufacturer",
        "PatientBirthDate",
        "PatientName",
        "PatientSex",
        "PositionReferenceIndicator",
        "ReferringPhysicianName",
        "StudyDate",
        "StudyID",
        "StudyTime",
    ]
)

# D: replaced by a keyed pseudonym, so that two studies of one patient can be recognised as such.
PSEUDONYM = "PatientID"

# U: replaced by a keyed hash under 2.25, the same for the same UID within a tenant.
UIDS = frozenset(["FrameOfReferenceUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])

# K: numbers (VR US, SS, DS, IS, FD, FL, UL) and pixel or LUT data.
NUMBERS = frozenset(
    [
        "AcquisitionMatrix",
        "AcquisitionNumber",
        "BitsAllocated",
        "BitsStored",
        "Columns",
        "DataCollectionDiameter",
        "DistanceSourceToDetector",
        "DistanceSourceToPatient",
        "EchoNumbers",
        "EchoTime",
        "EchoTrainLength",
        "Exposure",
        "ExposureTime",
        "FieldOfViewDimensions",
        "FlipAngle",
        "FocalSpots",
        "GantryDetectorTilt",
        "HighBit",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "ImagerPixelSpacing",
        "ImagingFrequency",
        "InstanceNumber",
        "InversionTime",
        "KVP",
        "LUTData",
        "LUTDescriptor",
        "LargestImagePixelValue",
        "LossyImageCompressionRatio",
        "MagneticFieldStrength",
        "NumberOfAverages",
        "NumberOfFrames",
        "PercentPhaseFieldOfView",
        "PercentSampling",
        "PixelAspectRatio",
        "PixelBandwidth",
        "PixelData",
        "PixelIntensityRelationshipSign",
        "PixelPaddingRangeLimit",
        "PixelPaddingValue",
        "PixelRepresentation",
        "PixelSpacing",
        "ReconstructionDiameter",
        "RepetitionTime",
        "RescaleIntercept",
        "RescaleSlope",
        "Rows",
        "SamplesPerPixel",
        "SeriesNumber",
        "SliceLocation",
        "SliceThickness",
        "SmallestImagePixelValue",
        "SpacingBetweenSlices",
        "TableHeight",
        "WindowCenter",
        "WindowWidth",
        "XRayTubeCurrent",
    ]
)

# K, with recursion into the items.
SEQUENCES = frozenset(("ModalityLUTSequence", "VOILUTSequence"))

_AXES = ("AP", "LR", "HF")
_ORIENTATIONS = {"".join(p) for n in (1, 2, 3) for axes in permutations(_AXES, n) for p in product(*axes)}

BODY_PARTS = frozenset(
    [
        "ABDOMEN",
        "ANKLE",
        "ARM",
        "BRAIN",
        "BREAST",
        "CHEST",
        "CLAVICLE",
        "COCCYX",
        "CSPINE",
        "ELBOW",
        "EXTREMITY",
        "FEMUR",
        "FINGER",
        "FOOT",
        "FOREARM",
        "HAND",
        "HEAD",
        "HEART",
        "HIP",
        "HUMERUS",
        "JAW",
        "KNEE",
        "LEG",
        "LIVER",
        "LSPINE",
        "NECK",
        "ORBIT",
        "PELVIS",
        "RIB",
        "SACRUM",
        "SCAPULA",
        "SHOULDER",
        "SINUS",
        "SKULL",
        "SPINE",
        "SSPINE",
        "STERNUM",
        "THIGH",
        "TOE",
        "TSPINE",
        "WRIST",
    ]
)  # from PS3.16 Annex L

# K, coded strings: a value outside the vocabulary is removed (in Image Type: becomes OTHER), so none can carry a name.
VOCABULARY: dict[str, frozenset[str]] = {
    "BodyPartExamined": BODY_PARTS,
    "BurnedInAnnotation": frozenset(("NO", "YES")),
    "DetectorType": frozenset(("DIRECT", "FILM", "SCINTILLATOR", "STORAGE")),
    "ImageLaterality": frozenset("BLRU"),
    "ImageType": frozenset(
        [
            "AXIAL",
            "DERIVED",
            "LOCALIZER",
            "MIP",
            "MPR",
            "ORIGINAL",
            "OTHER",
            "PRIMARY",
            "PROJECTION",
            "SECONDARY",
            "VOLUME",
        ]
    ),
    "Laterality": frozenset("LR"),
    "LossyImageCompression": frozenset(("00", "01")),
    "LossyImageCompressionMethod": frozenset(["ISO_10918_1", "ISO_14495_1", "ISO_15444_1"]),
    "MRAcquisitionType": frozenset(("2D", "3D")),
    "Modality": frozenset(("CR", "CT", "DX", "MR")),
    "ModalityLUTType": frozenset(["HGML", "HU", "OD", "PCT", "US"]),
    "PatientOrientation": frozenset(_ORIENTATIONS),
    "PatientPosition": frozenset(f"{a}F{b}" for a in "HF" for b in ("P", "S", "DR", "DL")),
    "PhotometricInterpretation": frozenset(("MONOCHROME1", "MONOCHROME2")),
    "PixelIntensityRelationship": frozenset(("DISP", "LIN", "LOG")),
    "PresentationIntentType": frozenset(("FOR PRESENTATION", "FOR PROCESSING")),
    "PresentationLUTShape": frozenset(("IDENTITY", "INVERSE")),
    "RescaleType": frozenset(["HGML", "HU", "HU_MOD", "OD", "PCT", "US"]),
    "ScanOptions": frozenset(["CG", "FC", "FS", "PER", "PFF", "PFP", "PPG", "RG", "SP"]),
    "ScanningSequence": frozenset(["EP", "GR", "IR", "RM", "SE"]),
    "SequenceVariant": frozenset(["MP", "MTC", "NONE", "OSP", "SK", "SP", "SS", "TRSS"]),
    "VOILUTFunction": frozenset(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    "ViewPosition": frozenset(["AP", "LL", "LLD", "LLO", "PA", "RL", "RLD", "RLO"]),
}
