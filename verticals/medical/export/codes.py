"""The coded words that exports share: presence, side, measured quantity, unit. Ignores where they are written."""

from __future__ import annotations

from verticals.medical.vocabulary import PRIVATE_SCHEME, Code

PRESENCE = {
    "present": Code("SCT", "52101004", "Present"),
    "absent": Code("SCT", "272519000", "Absent"),
    "uncertain": Code("SCT", "64957009", "Uncertain"),
}
SIDES = {
    "left": Code("SCT", "7771000", "Left"),
    "right": Code("SCT", "24028007", "Right"),
    "both": Code("SCT", "51440002", "Bilateral"),
}
QUANTITIES = {
    "diameter": Code("SCT", "81827009", "Diameter"),
    "area": Code("SCT", "42798000", "Area"),
    "volume": Code("SCT", "118565006", "Volume"),
}
UNITS = {
    "mm": Code("UCUM", "mm", "millimeter"),
    "mm2": Code("UCUM", "mm2", "square millimeter"),
    "mm3": Code("UCUM", "mm3", "cubic millimeter"),
}
NO_UNIT = Code("UCUM", "1", "no units")
PRESENCE_OF = Code("DCM", "121052", "Presence of property")
# A calibrated probability, 0 to 1: DICOM's own "Certainty of Finding" is in percent and without a definition.
PROBABILITY = Code(PRIVATE_SCHEME, "probability", "Calibrated probability of presence")
CONFIDENCE_SET = Code(PRIVATE_SCHEME, "confidence-set", "In the conformal set at 90 %")

NO_VERSION = "not stated"


def split_model(model: str) -> tuple[str, str]:
    """(name, version) of "name@version"; DICOM and FHIR keep them apart."""
    name, _, version = model.partition("@")
    return name, version or NO_VERSION


def join_model(name: str, version: str) -> str:
    """What `split_model` was given."""
    return name if version == NO_VERSION else f"{name}@{version}"
