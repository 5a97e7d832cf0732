"""What exported files say, read back from the files alone, and where two of them differ. Ignores who wrote them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping

from pydicom import dcmread

from verticals.medical.evidence import EvidenceGraph, Finding
from verticals.medical.export import read_fhir, read_pdf, read_sr

_READERS: Mapping[str, Callable[[bytes], EvidenceGraph]] = {
    "sr": lambda content: read_sr.read_findings(dcmread(io.BytesIO(content))),
    "fhir": lambda content: read_fhir.read_findings(json.loads(content)),
    "pdf": read_pdf.read_findings,
}


def read_findings(content: bytes, form: str) -> EvidenceGraph:
    """The findings that a file states: kind, presence, site, side, measurements, probability, doubt, model.

    Args:
        form: "sr", "fhir" or "pdf".
    Raises:
        ValueError: the file says something that no export writes, or contradicts itself.
    """
    try:
        return _READERS[form](content)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{form}: is not what this program writes ({type(error).__name__})") from error


def differences(files: Mapping[str, bytes]) -> list[str]:
    """One line for each finding that the files ("sr", "fhir", "pdf") do not all state alike, or file that fails."""
    told: list[str] = []
    read: dict[str, EvidenceGraph] = {}
    for form, content in files.items():
        try:
            read[form] = read_findings(content, form)
        except ValueError as error:
            told.append(f"{form}: cannot be read: {str(error).splitlines()[0]}")
    graphs = iter(read.items())
    first_form, first = next(graphs, ("", None))
    for form, graph in graphs:
        assert first is not None  # there is a second
        told += [f"{first_form}, {form}: {line}" for line in _compare(first, graph)]
    return told


def _compare(one: EvidenceGraph, other: EvidenceGraph) -> list[str]:
    left, right = ({f.finding_id: f for f in graph.findings} for graph in (one, other))
    told = [f"{name} is in one only" for name in left.keys() ^ right.keys()]
    told += [f"{name}: {', '.join(_fields(left[name], right[name]))}" for name in left if _differs(name, left, right)]
    if not told and one != other:
        told.append("another order")
    return told


def _differs(name: str, left: Mapping[str, Finding], right: Mapping[str, Finding]) -> bool:
    return name in right and left[name] != right[name]


def _fields(one: Finding, other: Finding) -> list[str]:
    return [field for field in Finding.model_fields if getattr(one, field) != getattr(other, field)]
