"""The report on paper: both languages, every section, the table on as many pages as it takes, signature and hashes."""

from __future__ import annotations

import io

import pdfplumber
import pytest

from verticals.medical.evidence import NO_EVIDENCE, EvidenceGraph
from verticals.medical.export.pdf import to_pdf
from verticals.medical.export.read_pdf import read_findings
from verticals.medical.graph_probes import random_graph
from verticals.medical.schemas import NOTICE
from verticals.medical.study_probes import report_on, report_with, study


def text_of(content: bytes) -> str:
    with pdfplumber.open(io.BytesIO(content)) as pdf:
        return "\n".join(page.extract_text() for page in pdf.pages)


def test_the_page_has_the_sections_the_signature_and_the_hash_in_two_scripts() -> None:
    images = study("CR", 1)
    report = report_on(images, "AMENDED", 1)

    text = text_of(to_pdf(report, images))

    assert "Imaging report 影像报告" in text
    assert "Signed by 王小明" in text
    assert "Dr. B. Later" in text
    assert "无异常" in text
    assert 'Opacity <5 mm & "haze"' in text
    assert report.content_sha256 in text
    assert text.count(NOTICE) >= 3  # head, status and the foot of each page


def test_the_key_image_is_on_the_page_when_there_is_a_region() -> None:
    images = study("OP", 0)
    with_region, without = report_on(images, "FINAL", 0), report_with(NO_EVIDENCE, "FINAL")

    assert [_pictures(to_pdf(report, images)) for report in (with_region, without)] == [1, 0]


def _pictures(content: bytes) -> int:
    with pdfplumber.open(io.BytesIO(content)) as pdf:
        return sum(len(page.images) for page in pdf.pages)


def test_a_table_over_several_pages_is_read_back_whole() -> None:
    findings = [f for seed in range(30) for f in random_graph(seed).findings]
    named = [f.model_copy(update={"finding_id": f"f{i + 1}"}) for i, f in enumerate(findings)]
    graph = EvidenceGraph(findings=tuple(named))
    content = to_pdf(report_with(graph, "FINAL"), study("CR", 0))

    with pdfplumber.open(io.BytesIO(content)) as pdf:
        assert len(pdf.pages) > 2
    assert read_findings(content) == graph.without_regions()


def test_a_report_without_findings_has_no_table_and_states_none() -> None:
    content = to_pdf(report_with(NO_EVIDENCE), study("CR", 0))

    assert "Table of findings" not in text_of(content)
    assert read_findings(content) == NO_EVIDENCE


@pytest.mark.parametrize("model", ["模型@1", "a<b>&c@2", "x" * 110 + "@1"])
def test_any_name_of_a_model_is_printed_and_read_back(model: str) -> None:
    finding = {"finding_id": "f1", "kind": "nodule", "presence": "present", "model": model}
    graph = EvidenceGraph.model_validate({"findings": [finding]})

    assert read_findings(to_pdf(report_with(graph), study("CR", 0))) == graph
