"""The findings that an SR document states, read item by item. Ignores the graph and the code that wrote them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset

from verticals.medical.evidence import READER, EvidenceGraph, Finding, Region
from verticals.medical.export.codes import (
    CONFIDENCE_SET,
    PRESENCE,
    PRESENCE_OF,
    PROBABILITY,
    QUANTITIES,
    SIDES,
    UNITS,
    join_model,
)
from verticals.medical.vocabulary import KINDS, SITES, Code

_Key = tuple[str, str]
_IMAGING_MEASUREMENTS, _TRACKING, _FINDING = ("DCM", "126010"), ("DCM", "112039"), ("DCM", "121071")
_SITE, _LATERALITY = ("SCT", "363698007"), ("SCT", "272741003")
_ALGORITHM_NAME, _ALGORITHM_VERSION = ("DCM", "111001"), ("DCM", "111003")


def _key(code: Code) -> _Key:
    return code.scheme, code.value


_KIND_NAMES = {_key(kind.code): name for name, kind in KINDS.items()}
_SITE_NAMES = {_key(site.code): name for name, site in SITES.items()}
_SIDE_NAMES = {_key(code): name for name, code in SIDES.items()}
_PRESENCES = {_key(code): name for name, code in PRESENCE.items()}
_QUANTITY_NAMES = {_key(code): name for name, code in QUANTITIES.items()}
_UNIT_NAMES = {_key(code): name for name, code in UNITS.items()}


def read_findings(document: Dataset) -> EvidenceGraph:
    """The findings that an SR document states, without regions; none in a document of another template.

    Raises:
        ValueError, KeyError, AttributeError: a code or structure that `measurement_report` does not write.
    """
    return EvidenceGraph(findings=tuple(_read(group) for group in _groups(document)))


def read_regions(document: Dataset) -> dict[str, list[Region]]:
    """Finding id -> the regions that an SR document draws; coordinates are of single precision there."""
    return {
        _one(group, _TRACKING).TextValue: [_drawn(item) for item in group if item.ValueType == "SCOORD"]
        for group in _groups(document)
    }


def _groups(document: Dataset) -> list[Sequence[Dataset]]:
    """The items of each measurement group."""
    found = [item for item in document.ContentSequence if _name(item) == _IMAGING_MEASUREMENTS]
    return [group.ContentSequence for container in found for group in container.ContentSequence]


def _name(item: Dataset) -> _Key:
    return _code(item.ConceptNameCodeSequence)


def _code(sequence: Sequence[Dataset]) -> _Key:
    (item,) = sequence
    return str(item.CodingSchemeDesignator), str(item.CodeValue)


def _named(items: Sequence[Dataset], name: _Key) -> list[Dataset]:
    return [item for item in items if "ConceptNameCodeSequence" in item and _name(item) == name]


def _one(items: Sequence[Dataset], name: _Key) -> Dataset:
    (item,) = _named(items, name)
    return item


def _read(items: Sequence[Dataset]) -> Finding:
    sizes = [item for item in items if item.ValueType == "NUM" and _name(item) in _QUANTITY_NAMES]
    probabilities = _named(items, _key(PROBABILITY))
    if len(sizes) + len(probabilities) != sum(item.ValueType == "NUM" for item in items):
        raise ValueError("NUM: a quantity that is not written here")
    sites, sides = _named(items, _SITE), []
    if sites:
        sides = _named(sites[0].get("ContentSequence", []), _LATERALITY)
    return Finding.model_validate(
        {
            "finding_id": _one(items, _TRACKING).TextValue,
            "kind": _KIND_NAMES[_code(_one(items, _FINDING).ConceptCodeSequence)],
            "presence": _PRESENCES[_code(_one(items, _key(PRESENCE_OF)).ConceptCodeSequence)],
            "site": _SITE_NAMES[_code(sites[0].ConceptCodeSequence)] if sites else None,
            "side": _SIDE_NAMES[_code(sides[0].ConceptCodeSequence)] if sides else None,
            "prob": _number(probabilities[0])[0] if probabilities else None,
            "confidence_set": [_PRESENCES[_code(i.ConceptCodeSequence)] for i in _named(items, _key(CONFIDENCE_SET))],
            "measurements": [_size(item) for item in sizes],
            "model": _model(items),
        }
    )


def _number(item: Dataset) -> tuple[float, _Key]:
    """(value, unit). DS has 16 characters: highdicom writes the exact value beside it."""
    (measured,) = item.MeasuredValueSequence
    value, rounded = float(measured.FloatingPointValue), float(measured.NumericValue)
    if not np.isclose(value, rounded, rtol=1e-9, atol=0):
        raise ValueError("FloatingPointValue: is not Numeric Value")
    return value, _code(measured.MeasurementUnitsCodeSequence)


def _size(item: Dataset) -> dict[str, str | float]:
    value, unit = _number(item)
    return {"name": _QUANTITY_NAMES[_name(item)], "value": value, "unit": _UNIT_NAMES[unit]}


def _model(items: Sequence[Dataset]) -> str:
    names = _named(items, _ALGORITHM_NAME)
    return join_model(names[0].TextValue, _one(items, _ALGORITHM_VERSION).TextValue) if names else READER


def _drawn(item: Dataset) -> Region:
    (image,) = item.ContentSequence
    (reference,) = image.ReferencedSOPSequence
    columns, rows = item.GraphicData[::2], item.GraphicData[1::2]
    return Region(
        sop_instance_uid=reference.ReferencedSOPInstanceUID,
        frame=int(reference.get("ReferencedFrameNumber") or 1),
        shape="point" if item.GraphicType == "POINT" else "polyline",
        points=tuple(zip(columns, rows, strict=True)),
    )
