"""A report on paper: A4, English and Chinese labels, findings, key image, signature, hashes. Ignores what it says.

The findings travel twice: as a table for a person, and as an attached JSON file, whose SHA-256 the page prints.
Letters beyond Latin (cp1252) are set in STSong-Light, one of the Chinese fonts that readers supply (PDF 9.7.5.2).
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image as PillowImage
from pydicom.dataset import Dataset
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.pdfdoc import PDFArray, PDFDictionary, PDFName, PDFStream, PDFString
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.platypus import Image, KeepTogether, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from verticals.medical.export.key_frames import drawn, key_frames
from verticals.medical.export.objects import find
from verticals.medical.export.table import END, HEADER, START, rows
from verticals.medical.report import Report, blocks
from verticals.medical.schemas import NOTICE

MARGIN = 18 * mm  # the page's number and notice stand below, so that text above it is the report's
ATTACHMENT = "findings.json"
HASH_LABEL = "SHA-256 of the attached findings 附件摘要: "
_NOTICE = f"{NOTICE}. 研究软件，非医疗器械。"
_SONG = "STSong-Light"
_TITLES = {
    "Status": "状态",
    "Examination": "检查",
    "Technique": "技术",
    "Comparison": "对比",
    "Findings": "所见",
    "Impression": "印象",
    "Addendum": "补充",
}
_WIDTHS = (8, 30, 18, 24, 12, 34, 16, 32)
_MOST_PIXELS = 900  # of a side of the key image: 208 dpi on paper
_GREY = HexColor("#dddddd")


def to_pdf(report: Report, images: Sequence[Dataset]) -> bytes:
    """The report; equal input gives equal bytes.

    Raises:
        Unavailable: the evidence names an image that is not among `images`.
    """
    registerFont(UnicodeCIDFont(_SONG))
    findings = findings_json(report)
    out = io.BytesIO()
    template = SimpleDocTemplate(
        out, pagesize=A4, title=f"Report {report.report_id}, version {report.version}", author="Trivium",
        subject=NOTICE, invariant=1, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
    )  # fmt: skip

    def number(canvas: Any, _template: Any) -> None:
        _attach(canvas, findings)
        canvas.setFont(_SONG, 7)
        told = f"{_NOTICE}  {report.report_id}, version {report.version}, page {canvas.getPageNumber()}"
        canvas.drawString(MARGIN, MARGIN / 2, told)

    flow = [*_head(report), *_findings(report, template.width), *_key_image(report, images), *_foot(report, findings)]
    template.build(flow, onFirstPage=number, onLaterPages=number)
    return out.getvalue()


def findings_json(report: Report) -> bytes:
    """The findings as they are attached: canonical JSON."""
    said = {
        "notice": NOTICE,
        "report_id": report.report_id,
        "version": report.version,
        "content_sha256": report.content_sha256,
        "evidence": report.evidence.model_dump(mode="json"),
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False).encode()


def _style(name: str, **changes: Any) -> ParagraphStyle:
    return ParagraphStyle(name, parent=getSampleStyleSheet()["BodyText"], **changes)


_BODY = _style("body", fontSize=9.5, leading=13)
_SMALL = _style("small", fontSize=7, leading=9, spaceBefore=0)
_TITLE = _style("title", fontSize=16, leading=20)
_HEADING = _style("heading", fontSize=11, leading=14, spaceBefore=8)


def _head(report: Report) -> list[Any]:
    flow: list[Any] = [_paragraph("Imaging report 影像报告", _TITLE), _paragraph(_NOTICE, _BODY)]
    for block in blocks(report):
        flow.append(_paragraph(f"{block.title} {_TITLES[block.title]}", _HEADING))
        flow += [_paragraph(line, _BODY) for line in block.text.split("\n")]
    return flow


def _findings(report: Report, width: float) -> list[Any]:
    if not report.evidence.findings:
        return []
    cells = [[_paragraph(cell, _SMALL) for cell in row] for row in (HEADER, *rows(report.evidence))]
    table = LongTable(cells, colWidths=[width * w / sum(_WIDTHS) for w in _WIDTHS], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.25, _GREY),
                ("BACKGROUND", (0, 0), (-1, 0), _GREY),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return [_paragraph(START, _HEADING), table, _paragraph(END, _SMALL)]


def _key_image(report: Report, images: Sequence[Dataset]) -> list[Any]:
    """The first key frame with its regions; none without regions."""
    frames = key_frames(report)
    if not frames:
        return []
    name, frame = frames[0]
    pixels = drawn(find(images, name), frame, report.evidence.findings)
    shown = PillowImage.fromarray(pixels)
    shown.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    scale = 110 * mm / max(shown.size)
    buffer = io.BytesIO()
    shown.save(buffer, format="PNG")
    buffer.seek(0)
    caption = f"Key image 关键图像: frame {frame} of {name}"
    picture = Image(buffer, width=shown.width * scale, height=shown.height * scale)
    return [KeepTogether([Spacer(0, 4 * mm), picture, _paragraph(caption, _SMALL)])]


def _foot(report: Report, findings: bytes) -> list[Any]:
    lines = [
        f"SHA-256 of this version 本版本摘要: {report.content_sha256}",
        f"{HASH_LABEL}{hashlib.sha256(findings).hexdigest()}",
    ]
    return [Spacer(0, 4 * mm), *(_paragraph(line, _SMALL) for line in lines)]


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    """Text as it is, line breaks between Chinese characters too."""
    runs = itertools.groupby(text, key=_is_latin)
    parts = [(is_latin, escape("".join(run))) for is_latin, run in runs]
    marked = "".join(part if is_latin else f'<font name="{_SONG}">{part}</font>' for is_latin, part in parts)
    if all(is_latin for is_latin, _ in parts):
        return Paragraph(marked, style)
    return Paragraph(marked, ParagraphStyle(f"{style.name}, Chinese", parent=style, wordWrap="CJK"))


def _is_latin(letter: str) -> bool:
    try:
        letter.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _attach(canvas: Any, content: bytes) -> None:
    """An embedded file (PDF 7.11.4), once for the document."""
    document = canvas._doc
    if getattr(document.Catalog, "Names", None) is not None:
        return
    kind = PDFDictionary({"Type": PDFName("EmbeddedFile")})
    stream = document.Reference(PDFStream(kind, content))
    name = PDFString(ATTACHMENT)
    file = PDFDictionary({"Type": PDFName("Filespec"), "F": name, "UF": name, "EF": PDFDictionary({"F": stream})})
    names = PDFDictionary({"Names": PDFArray([name, document.Reference(file)])})
    document.Catalog.Names = PDFDictionary({"EmbeddedFiles": names})
