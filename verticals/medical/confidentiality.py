"""The de-identification table: what happens to each attribute. Ignores how it is done (see `deidentify`).

PS3.15 Annex E, Basic Application Level Confidentiality Profile: its Table E.1-1 names what to remove and keeps
the rest. This one is stricter, so that an attribute nobody thought of cannot leak: it names what is kept, and all else
is **removed (X)**, private attributes included. What is kept is numbers, pixel and LUT data, and coded strings whose
value is in a closed vocabulary; no free text, name or time is kept. Options of the profile that are used: Retain
Longitudinal Temporal Information Modified Dates (113107): four dates, moved by a secret number of days per patient.
"""

from __future__ import annotations

from itertools import permutations, product

from verticals.medical.frames import GROUPS

METHOD = "PS3.15 Annex E Basic Application Level Confidentiality Profile; Trivium keep-list 2"
METHOD_CODES = (
    ("113100", "DCM", "Basic Application Confidentiality Profile"),
    ("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
)
CLEAN_PIXELS = ("113101", "DCM", "Clean Pixel Data Option")  # where a person masked burned-in text


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Z: present and empty afterwards (type 2 in the image IODs that `ingest` reads, PS3.3 A.2, A.3, A.4, A.26).
EMPTIED = _words(
    """
    AccessionNumber Manufacturer PatientBirthDate PatientName PatientSex PositionReferenceIndicator
    ReferringPhysicianName StudyID StudyTime
    """
)

# C: moved back by the same number of days in all of a patient's objects; emptied where it is no date.
DATES = _words("AcquisitionDate ContentDate SeriesDate StudyDate")

# D: replaced by a keyed pseudonym, so that two studies of one patient can be recognised as such.
PSEUDONYM = "PatientID"

# U: replaced by a keyed hash under 2.25, the same for the same UID within a tenant, at whatever depth it is kept.
UIDS = _words("FrameOfReferenceUID ReferencedSOPInstanceUID SOPInstanceUID SeriesInstanceUID StudyInstanceUID")

# K: UIDs that the standard itself defines; anything else is removed.
STANDARD_UIDS = _words("ReferencedSOPClassUID SOPClassUID")

# K: numbers (VR US, SS, DS, IS) and pixel or LUT data.
NUMBERS = _words(
    """
    AcquisitionMatrix AcquisitionNumber BitsAllocated BitsStored Columns DataCollectionDiameter DistanceSourceToDetector
    DistanceSourceToPatient EchoNumbers EchoTime EchoTrainLength Exposure ExposureTime FieldOfViewDimensions FlipAngle
    FocalSpots FrameAcquisitionNumber GantryDetectorTilt HighBit ImageOrientationPatient ImagePositionPatient
    ImagerPixelSpacing
    ImagingFrequency InStackPositionNumber InstanceNumber InversionTime KVP LUTData LUTDescriptor LargestImagePixelValue
    LossyImageCompressionRatio MagneticFieldStrength NumberOfAverages NumberOfFrames PercentPhaseFieldOfView
    PercentSampling PixelAspectRatio PixelBandwidth PixelData PixelIntensityRelationshipSign PixelPaddingRangeLimit
    PixelPaddingValue PixelRepresentation PixelSpacing PlanarConfiguration
    ReconstructionDiameter RepetitionTime RescaleIntercept
    RescaleSlope Rows SamplesPerPixel SeriesNumber SliceLocation SliceThickness SmallestImagePixelValue
    SpacingBetweenSlices TableHeight TemporalPositionIndex WindowCenter WindowWidth XRayTubeCurrent
    """
)

# U: kept with new UIDs, so that references between the objects of a study stay whole.
UID_SEQUENCES = _words("ReferencedImageSequence SourceImageSequence")

# K, by the same table for the attributes of their items; "" is the top level, and no sequence is kept elsewhere.
_GROUPS = frozenset(GROUPS) | {"FrameContentSequence"}
SEQUENCES: dict[str, frozenset[str]] = {
    "": _words("ModalityLUTSequence PerFrameFunctionalGroupsSequence SharedFunctionalGroupsSequence VOILUTSequence")
    | UID_SEQUENCES,
    "PerFrameFunctionalGroupsSequence": _GROUPS,
    "SharedFunctionalGroupsSequence": _GROUPS,
}

_ORIENTATIONS = (
    "".join(letters) for n in (1, 2, 3) for axes in permutations(("AP", "LR", "HF"), n) for letters in product(*axes)
)

# K, coded strings: a value outside the vocabulary is removed (in Image Type: becomes OTHER), so none can carry a name.
VOCABULARY: dict[str, frozenset[str]] = {
    # from PS3.16 Annex L
    "BodyPartExamined": _words(
        """
        ABDOMEN ANKLE ARM BRAIN BREAST CHEST CLAVICLE COCCYX CSPINE ELBOW EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND
        HEAD HEART HIP HUMERUS JAW KNEE LEG LIVER LSPINE NECK ORBIT PELVIS RETINA RIB SACRUM SCAPULA SHOULDER SINUS
        SKULL SPINE SSPINE STERNUM THIGH TOE TSPINE WRIST
        """
    ),
    "BurnedInAnnotation": _words("NO YES"),
    "DetectorType": _words("DIRECT FILM SCINTILLATOR STORAGE"),
    "ImageLaterality": _words("B L R U"),
    "ImageType": _words("AXIAL DERIVED LOCALIZER MIP MPR ORIGINAL OTHER PRIMARY PROJECTION SECONDARY VOLUME"),
    "Laterality": _words("L R"),
    "LossyImageCompression": _words("00 01"),
    "LossyImageCompressionMethod": _words("ISO_10918_1 ISO_14495_1 ISO_15444_1"),
    "MRAcquisitionType": _words("2D 3D"),
    "Modality": _words("CR CT DX MR OP"),
    "ModalityLUTType": _words("HGML HU OD PCT US"),
    "PatientOrientation": frozenset(_ORIENTATIONS),
    "PatientPosition": _words("FFDL FFDR FFP FFS HFDL HFDR HFP HFS"),
    "PhotometricInterpretation": _words("MONOCHROME1 MONOCHROME2 RGB"),
    "PixelIntensityRelationship": _words("DISP LIN LOG"),
    "PresentationIntentType": frozenset(("FOR PRESENTATION", "FOR PROCESSING")),
    "PresentationLUTShape": _words("IDENTITY INVERSE"),
    "RescaleType": _words("HGML HU HU_MOD OD PCT US"),
    "ScanOptions": _words("CG FC FS PER PFF PFP PPG RG SP"),
    "ScanningSequence": _words("EP GR IR RM SE"),
    "SequenceVariant": _words("MP MTC NONE OSP SK SP SS TRSS"),
    "VOILUTFunction": _words("LINEAR LINEAR_EXACT SIGMOID"),
    "ViewPosition": _words("AP LL LLD LLO PA RL RLD RLO"),
}
