"""Blocks of a document on paper: A4 landscape, numbered pages, tables that break between rows. Ignores content."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

from verticals.finance.validation.document import Block, Grid, Heading

_GREY = "#dddddd"


def to_pdf(blocks: Sequence[Block]) -> bytes:
    """A PDF with embedded outlines of the standard fonts; the same blocks give the same bytes.

    Letters beyond Latin-1 become "?": the standard fonts have none.
    """
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    out, styles = io.BytesIO(), getSampleStyleSheet()
    title = next(b.text for b in blocks if isinstance(b, Heading))
    template = SimpleDocTemplate(
        out, pagesize=landscape(A4), title=title, author="Trivium", invariant=1,
        leftMargin=15 * mm, rightMargin=15 * mm, topMargin=15 * mm, bottomMargin=15 * mm,
    )  # fmt: skip
    flow: list[Any] = []
    for block in blocks:
        if isinstance(block, Heading):
            flow.append(Paragraph(_text(block.text), styles[f"Heading{block.level}"]))
        elif isinstance(block, Grid):
            flow += [Spacer(0, mm), _table(block, width=template.width, styles=styles), Spacer(0, 3 * mm)]
        else:
            flow.append(Paragraph(_text(block.text), styles["BodyText"]))

    template.build(flow, onFirstPage=_number, onLaterPages=_number)
    return out.getvalue()


def _table(grid: Grid, *, width: float, styles: Any) -> Any:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import LongTable, Paragraph, TableStyle

    small = ParagraphStyle("cell", parent=styles["BodyText"], fontSize=7, leading=8.5, spaceBefore=0, splitLongWords=1)
    bold = ParagraphStyle("head", parent=small, fontName="Helvetica-Bold")
    cells = [[Paragraph(_text(c), bold) for c in grid.header]]
    cells += [[Paragraph(_text(c), small) for c in row] for row in grid.rows]
    table = LongTable(cells, colWidths=[width * w / sum(grid.widths) for w in grid.widths], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("GRID", (0, 0), (-1, -1), 0.25, HexColor(_GREY)),
                ("BACKGROUND", (0, 0), (-1, 0), HexColor(_GREY)),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return table


def _number(canvas: Any, template: Any) -> None:
    canvas.setFont("Helvetica", 7)
    canvas.drawRightString(template.pagesize[0] - template.rightMargin, template.bottomMargin / 2, str(template.page))


def _text(text: str) -> str:
    return escape(text.encode("latin-1", errors="replace").decode("latin-1"))
