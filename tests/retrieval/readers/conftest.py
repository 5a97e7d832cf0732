"""PDF files written by hand, so that a test can say where each word stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest


def write(text: str, *, at: tuple[float, float], size: float = 11, bold: bool = False, grey: float = 0) -> str:
    """Drawing operators for one line; `at` counts from the lower left of an A4 page, 595 x 842 points."""
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    font = "F2" if bold else "F1"
    return f"BT {grey} g /{font} {size} Tf {at[0]} {at[1]} Td ({escaped}) Tj ET\n"


def pdf_of(pages: Sequence[str], *, title: str = "", encrypted: bool = False) -> bytes:
    """A PDF of pages of drawing operators."""
    kids = " ".join(f"{6 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} /MediaBox [0 0 595 842] "
        "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold >>",
        f"<< /Title ({title}) >>",
    ]
    for i, page in enumerate(pages):
        objects.append(f"<< /Type /Page /Parent 2 0 R /Contents {7 + 2 * i} 0 R >>")
        objects.append(f"<< /Length {len(page)} >>\nstream\n{page}endstream")
    content, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(content))
        content += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{'ab' * 32}> /U <{'cd' * 32}> /P -4 >> /ID [<00> <00>]"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"<< /Size {size} /Root 1 0 R /Info 5 0 R {lock if encrypted else ''} >>"
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n{trailer}\nstartxref\n{len(content)}\n%%EOF\n"
    return content + end.encode()


@pytest.fixture(scope="session")
def draw() -> Callable[..., str]:
    return write


@pytest.fixture(scope="session")
def make_pdf() -> Callable[..., bytes]:
    return pdf_of
