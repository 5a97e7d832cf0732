"""Sentences are linked to the findings that they state, and to no other."""

from __future__ import annotations

from typing import Any

import pytest

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Region
from verticals.medical.linking import linked, stated
from verticals.medical.schemas import Sections
from verticals.medical.vocabulary import KINDS, RADLEX

BOX = Region(sop_instance_uid="1.2", shape="polyline", points=((1, 1), (5, 1), (5, 4), (1, 4), (1, 1)))
NODULE = {"kind": "nodule", "presence": "present", "site": "upper_lung_zone", "side": "left"}


def graph(*findings: dict[str, Any]) -> EvidenceGraph:
    made = [Finding.model_validate({"finding_id": f"f{i}", "model": "m@1"} | f) for i, f in enumerate(findings, 1)]
    return EvidenceGraph(findings=tuple(made))


def sections(findings: str, impression: str = "") -> Sections:
    return Sections(examination="", technique="", comparison="", findings=findings, impression=impression)


def links(text: str, *findings: dict[str, Any]) -> list[tuple[str, ...]]:
    return [sentence.finding_ids for sentence in linked(sections(text), graph(*findings))]


def mm(value: float) -> list[Measurement]:
    return [Measurement(name="diameter", value=value, unit="mm")]


def test_a_sentence_carries_its_findings_with_their_regions_codes_and_place() -> None:
    text = sections("Image quality: accept.\nPleura: Left pleural effusion. No pneumothorax.", "Left pleural effusion.")
    effusion = {"kind": "effusion", "presence": "present", "site": "pleura", "side": "left", "regions": [BOX]}
    evidence = graph(effusion, {"kind": "pneumothorax", "presence": "absent"})

    quality, first, second, again = linked(text, evidence)

    assert text.findings[first.start : first.end] == "Pleura: Left pleural effusion."
    assert (first.finding_ids, first.regions, first.codes) == (
        ("f1",),
        (BOX,),
        (KINDS["effusion"].code, RADLEX["effusion"]),
    )
    assert (second.finding_ids, quality.finding_ids) == (("f2",), ())
    assert (again.section, again.finding_ids) == ("impression", ("f1",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nodule in the left upper lung zone.", ("f1",)),
        ("There is a nodule.", ("f1",)),
        ("Left lung nodule measuring 0.6 cm.", ("f1",)),
        ("Nodule in the right upper lung zone.", ()),
        ("Nodule in the left lower lung zone.", ()),
        ("Nodule of 7 mm in the left upper lung zone.", ()),
        ("Possible nodule in the left upper lung zone.", ()),
        ("No nodule in the left upper lung zone.", ()),
        ("History of nodule.", ()),
        ("Mass in the left upper lung zone.", ()),
    ],
)
def test_a_sentence_that_differs_from_the_evidence_states_no_finding(text: str, expected: tuple[str, ...]) -> None:
    assert links(text, NODULE | {"measurements": mm(6.2)}) == [expected]


def test_sizes_tell_findings_apart_and_order_tells_equal_ones() -> None:
    small, large = NODULE | {"measurements": mm(4)}, NODULE | {"measurements": mm(9)}

    assert links("Nodule of 9 mm. Nodule of 4 mm.", small, large) == [("f2",), ("f1",)]
    assert links("Left nodule. Left nodule.", NODULE, NODULE) == [("f1",), ("f2",)]
    assert links("Nodules in the left upper lung zone.", NODULE, NODULE) == [("f1", "f2")]


def test_both_sides_are_one_finding_or_one_on_each() -> None:
    left = {"kind": "effusion", "presence": "present", "site": "pleura", "side": "left"}

    assert links("Bilateral pleural effusions.", left, left | {"side": "right"}) == [("f1", "f2")]
    assert links("Bilateral pleural effusion.", left | {"side": "both"}) == [("f1",)]
    assert links("Bilateral pleural effusion.", left) == [()]
    assert links("Left pleural effusion.", left | {"side": "both"}) == [()]


def test_what_was_denied_for_one_side_is_not_denied_for_both() -> None:
    left = {"kind": "effusion", "presence": "absent", "site": "pleura", "side": "left"}

    assert links("No pleural effusion.", left) == [()]
    assert links("No left pleural effusion.", left) == [("f1",)]
    assert links("No left pleural effusion.", {"kind": "effusion", "presence": "absent"}) == [("f1",)]


def test_what_no_sentence_states_is_not_stated() -> None:
    evidence = graph(NODULE, {"kind": "cardiomegaly", "presence": "absent"})

    assert stated(sections("The heart is not enlarged."), evidence).findings == (evidence["f2"],)
