"""The evidence graph holds only what the vocabulary can say, and every code is real or openly our own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from pydicom.sr.codedict import codes

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Region
from verticals.medical.vocabulary import KINDS, PRIVATE_SCHEME, RADLEX, SITES, codes_of

SQUARE = ((1.0, 1.0), (5.0, 1.0), (5.0, 4.0), (1.0, 4.0), (1.0, 1.0))


def _finding(**changes: Any) -> Finding:
    fields = {"finding_id": "f1", "kind": "effusion", "presence": "present", "site": "pleura", "side": "left"}
    return Finding.model_validate(fields | {"model": "m@1"} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "dragon"}, "'dragon' is not in the vocabulary"),
        ({"site": "heart"}, "'heart' is not a site of effusion"),
        ({"kind": "cardiomegaly", "site": "heart"}, "needs a paired site"),
        ({"site": None}, "needs a paired site"),
        ({"prob": 1.2}, "less than or equal to 1"),
        ({"presence": "absent", "measurements": [{"name": "diameter", "value": 4, "unit": "mm"}]}, "no size"),
    ],
)
def test_what_the_vocabulary_cannot_say_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        _finding(**changes)


def test_a_region_is_closed_and_a_measurement_has_its_unit() -> None:
    with pytest.raises(ValidationError, match="last point repeats its first"):
        Region(sop_instance_uid="1.2", shape="polyline", points=SQUARE[:-1])
    with pytest.raises(ValidationError, match="volume is in mm3"):
        Measurement(name="volume", value=4, unit="mm")

    assert Region(sop_instance_uid="1.2", shape="polyline", points=SQUARE).box == (1, 1, 5, 4)


def test_a_graph_survives_json_and_names_each_finding_once() -> None:
    region = Region(sop_instance_uid="1.2", shape="polyline", points=SQUARE)
    graph = EvidenceGraph(findings=(_finding(regions=(region,)), _finding(finding_id="f2", side="right")))

    assert EvidenceGraph.model_validate_json(graph.model_dump_json()) == graph
    assert graph["f2"].side == "right"
    with pytest.raises(ValidationError, match="same finding_id"):
        EvidenceGraph(findings=(_finding(), _finding()))


def test_every_snomed_code_is_in_dicoms_dictionary_and_every_kind_has_a_site() -> None:
    known = {code.value for code in (getattr(codes.SCT, name) for name in dir(codes.SCT) if name[0].isupper())}
    used = [*(site.code for site in SITES.values()), *(kind.code for kind in KINDS.values())]

    assert {code.value for code in used if code.scheme == "SCT"} <= known
    assert {code.scheme for code in used} == {"SCT", PRIVATE_SCHEME}
    assert all(kind.sites and set(kind.sites) <= set(SITES) for kind in KINDS.values())


def test_radlex_stands_beside_a_kinds_own_code_where_there_is_one() -> None:
    assert set(RADLEX) < set(KINDS)
    assert all(code.scheme == "RADLEX" and code.value.removeprefix("RID").isdecimal() for code in RADLEX.values())
    assert [code.value for code in codes_of("effusion")] == ["60046008", "RID34539"]
    assert len(codes_of("cardiomegaly")) == 1


def test_every_code_fits_a_dicom_code_value() -> None:
    listed = [code for name in KINDS for code in codes_of(name)] + [site.code for site in SITES.values()]

    assert [code for code in listed if len(code.value) > 16] == []  # SH, PS3.3 8.8
    assert len({(code.scheme, code.value) for code in listed}) == len(listed)
