"""SR, FHIR and PDF state one set of findings, read back from the files; every difference between them is found."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from benchmarks import export_equality
from verticals.medical.evidence import EvidenceGraph
from verticals.medical.export.files import FORMATS
from verticals.medical.export.read_sr import read_regions
from verticals.medical.export.readback import differences, read_findings
from verticals.medical.graph_probes import changes, random_graph
from verticals.medical.study_probes import KINDS_OF_STUDY, STATES, report_on, report_with, study

FORMS = ("sr", "fhir", "pdf")


def write(form: str, graph: EvidenceGraph, images: Any, state: Any = "FINAL") -> bytes:
    return FORMATS[form].write(report_with(graph, state), images)[0]


def files_of(graph: EvidenceGraph, images: Any) -> dict[str, bytes]:
    return {form: write(form, graph, images) for form in FORMS}


@pytest.mark.parametrize("kind", KINDS_OF_STUDY)
def test_all_three_state_the_findings_of_the_graph(kind: str) -> None:
    seed = list(KINDS_OF_STUDY).index(kind)
    images = study(kind, seed)
    report = report_on(images, STATES[seed % 4], seed)

    files = {form: FORMATS[form].write(report, images)[0] for form in FORMS}

    for form, content in files.items():
        assert read_findings(content, form) == report.evidence.without_regions(), form
    assert differences(files) == []


def test_sr_draws_the_regions_of_the_graph() -> None:
    images = study("CT", 0)
    report = report_on(images, "FINAL", 0)

    drawn = read_regions(dcmread(io.BytesIO(write("sr", report.evidence, images))))

    for finding in report.evidence.findings:
        for ours, theirs in zip(finding.regions, drawn[finding.finding_id], strict=True):
            assert (ours.sop_instance_uid, ours.frame, ours.shape) == (
                theirs.sop_instance_uid,
                theirs.frame,
                theirs.shape,
            )
            np.testing.assert_allclose(ours.points, theirs.points, rtol=1e-6)


def test_one_change_in_what_one_file_is_written_from_is_found() -> None:
    images = study("CR", 0)
    graphs = (random_graph(seed, most=2) for seed in range(99))
    graph = next(g for g in graphs if g.findings[0].measurements and g.findings[0].side)
    files = {form: write(form, graph, images) for form in ("sr", "fhir")}
    altered = [(what, other) for what, other in changes(graph) if other.findings]

    for i, (what, other) in enumerate(altered):
        form, beside = (("sr", "fhir"), ("fhir", "sr"), ("pdf", "sr"))[i % 3]

        assert differences({beside: files[beside], form: write(form, other, images)}), f"{form}: {what}"
    assert len(altered) > 10


def test_the_command_counts_equal_graphs_and_found_differences(capsys: pytest.CaptureFixture[str]) -> None:
    export_equality.main(["--graphs", "2"])

    assert [row.split(" | ")[1] for row in capsys.readouterr().out.splitlines() if "/2" in row] == ["2/2", "2/2"]


def _in_sr(content: bytes) -> bytes:
    document = dcmread(io.BytesIO(content))
    document.walk(lambda dataset, element: _swap(element, "7771000", "24028007"))
    buffer = io.BytesIO()
    document.save_as(buffer)
    return buffer.getvalue()


def _swap(element: Any, old: str, new: str) -> None:
    if element.keyword == "CodeValue" and element.value == old:
        element.value = new


def _in_fhir(content: bytes) -> bytes:
    return content.replace(b'"code": "7771000"', b'"code": "24028007"')


@pytest.mark.parametrize(("form", "tamper"), [("sr", _in_sr), ("fhir", _in_fhir)])
def test_a_changed_file_differs_from_the_others(form: str, tamper: Callable[[bytes], bytes]) -> None:
    graph = _one_left_effusion()
    files = files_of(graph, study("CR", 0))
    changed = tamper(files[form])

    assert changed != files[form]
    assert any("f1: side" in line for line in differences(files | {form: changed}))


def test_a_pdf_whose_attachment_was_changed_is_refused() -> None:
    content = write("pdf", _one_left_effusion(), study("CR", 0))

    with pytest.raises(ValueError, match="SHA-256 is not the one on the page"):
        read_findings(content.replace(b'"side": "left"', b'"side": "both"'), "pdf")


def test_a_pdf_whose_table_was_changed_is_refused() -> None:
    content = write("pdf", _one_left_effusion(), study("CR", 0))

    with pytest.raises(ValueError, match="does not say what the attachment says"):
        read_findings(_with_page_text(content, b"(left )", b"(both )"), "pdf")


def test_a_file_of_another_kind_is_named_not_guessed() -> None:
    files = files_of(_one_left_effusion(), study("CR", 0))

    told = differences({"sr": b"", "fhir": json.dumps({"entry": []}).encode(), "pdf": files["pdf"]})

    assert [line.split(":")[0] for line in told] == ["sr", "fhir"]


def _one_left_effusion() -> EvidenceGraph:
    finding = {"finding_id": "f1", "kind": "effusion", "presence": "present", "site": "pleura", "side": "left"}
    return EvidenceGraph.model_validate({"findings": [finding | {"model": "m@1", "prob": 0.7}]})


def _with_page_text(content: bytes, old: bytes, new: bytes) -> bytes:
    """The file with other words on its page; the page's stream keeps its length, so that every offset still holds."""
    end = -1
    while True:
        end = content.index(b"~>endstream", end + 1)
        start = content.rindex(b"stream\n", 0, end) + len(b"stream\n")
        words = zlib.decompress(base64.a85decode(content[start:end]))
        if old in words:
            break
    packed = base64.a85encode(zlib.compress(words.replace(old, new), 9))
    return content[:start] + packed.ljust(end - start) + content[end:]
