"""Draws specimens of identity documents, for benchmarks and demonstrations. Imitates no real state's document.

Every image says SPECIMEN and that its holder is invented, in both languages; the portrait is a grey shape. Layouts
follow Doc 9303 (passport TD3 of 125 x 88 mm; identity card TD1 of 85.6 x 54 mm, both sides on one sheet) and the order
of fields of China's resident identity card. The zone is set in a monospaced face, for want of a free OCR-B.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from verticals.contract import Unavailable
from verticals.finance.documents.holders import Facts

PIXELS_PER_MM = 10
INK, LABEL_INK, PAPER, STAMP = (28, 28, 40), (70, 80, 120), (236, 240, 246), (196, 160, 160)
NOTICE = "SPECIMEN - SYNTHETIC - NOT A DOCUMENT"
NOTICE_ZH = "样本 · 虚构人物 · 并非证件"
_FONT_ROOTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("/Library/Fonts"))
_FACES = {
    "text": ("DejaVuSans.ttf", "fonts-dejavu-core"),
    "zone": ("DejaVuSansMono.ttf", "fonts-dejavu-core"),
    "chinese": ("NotoSansCJK-Regular.ttc", "fonts-noto-cjk"),
}
Point = tuple[int, int]


def draw(facts: Facts) -> Image.Image:
    """The document as a flat, clean RGB image of 10 pixels a millimetre.

    Raises:
        Unavailable: a font is missing.
    """
    return {"passport": _passport, "identity_card": _identity_card, "resident_card": _resident_card}[facts.kind](facts)


@lru_cache(maxsize=64)
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    """A face of `_FACES` in pixels.

    Raises:
        Unavailable: it is not installed.
    """
    name, package = _FACES[face]
    for root in _FONT_ROOTS:
        if found := next(iter(sorted(root.rglob(name))), None):
            return ImageFont.truetype(str(found), size)
    raise Unavailable("is not installed", field=f"font {name}", remedy=f"On Debian: apt-get install {package}")


# --- the three layouts -----------------------------------------------------------------------------------------------


def _passport(facts: Facts) -> Image.Image:
    image, pen = _page(125, 88, "UTOPIA   PASSPORT / PASSEPORT")
    _portrait(pen, (40, 130), (320, 370))
    left, middle, right = 380, 700, 960
    _field(pen, (left, 110), "Passport No. / No. de passeport", facts.number)
    _field(pen, (right, 110), "Code", "UTO")
    _field(pen, (left, 190), "Surname / Nom", facts.surname)
    _field(pen, (left, 270), "Given names / Prénoms", facts.given_names)
    _field(pen, (left, 350), "Nationality / Nationalité", facts.nationality)
    _field(pen, (middle + 60, 350), "Sex / Sexe", facts.sex)
    _field(pen, (left, 430), "Date of birth / Date de naissance", _day(facts))
    _field(pen, (left, 510), "Date of expiry / Date d'expiration", f"{facts.expiry_date:%d %b %Y}".upper())
    _zone(pen, (44, 730), facts.mrz, size=42)
    return image


def _identity_card(facts: Facts) -> Image.Image:
    front, pen = _page(86, 54, "UTOPIA   IDENTITY CARD")
    _portrait(pen, (30, 110), (230, 300))
    _field(pen, (260, 76), "Surname", facts.surname, size=30)
    _field(pen, (260, 150), "Given names", facts.given_names, size=30)
    _field(pen, (260, 224), "Sex", facts.sex, size=30)
    _field(pen, (400, 224), "Nationality", facts.nationality, size=30)
    _field(pen, (620, 224), "Date of birth", f"{facts.birth_date:%d.%m.%Y}", size=30)
    _field(pen, (260, 298), "Document No.", facts.number, size=30)
    _field(pen, (620, 298), "Date of expiry", f"{facts.expiry_date:%d.%m.%Y}", size=30)
    back, pen = _page(86, 54, "UTOPIA")
    _zone(pen, (40, 330), facts.mrz, size=44)
    sheet = Image.new("RGB", (front.width + 80, 2 * front.height + 120), (250, 250, 250))
    sheet.paste(front, (40, 40))
    sheet.paste(back, (40, front.height + 80))
    return sheet


def _resident_card(facts: Facts) -> Image.Image:
    image, pen = _page(86, 54, None)
    _portrait(pen, (600, 70), (220, 290))
    label, text = font("chinese", 26), font("chinese", 32)
    day = facts.birth_date
    assert day is not None
    rows: tuple[tuple[int, tuple[tuple[int, str, str], ...]], ...] = (
        (50, ((50, "姓名", facts.name or ""),)),
        (120, ((50, "性别", "男" if facts.sex == "M" else "女"), (260, "民族", facts.ethnicity or ""))),
        (190, ((50, "出生", f"{day.year} 年 {day.month} 月 {day.day} 日"),)),
    )
    for y, fields in rows:
        for x, name, value in fields:
            pen.text((x, y), name, font=label, fill=LABEL_INK)
            pen.text((x + 80, y - 4), value, font=text, fill=INK)
    pen.text((50, 260), "住址", font=label, fill=LABEL_INK)
    address = facts.address or ""
    for i, part in enumerate(address[at : at + 13] for at in range(0, len(address), 13)):
        pen.text((130, 256 + 44 * i), part, font=text, fill=INK)
    pen.text((50, 440), "公民身份号码", font=label, fill=LABEL_INK)
    pen.text((250, 434), " ".join(facts.number or ""), font=font("text", 30), fill=INK)
    return image


# --- parts -----------------------------------------------------------------------------------------------------------


def _page(width_mm: int, height_mm: int, title: str | None) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Paper with a pattern, the notices and a title."""
    width, height = width_mm * PIXELS_PER_MM, height_mm * PIXELS_PER_MM
    image = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(image)
    for x in range(-height, width, 26):
        pen.line([(x, height), (x + height, 0)], fill=(226, 232, 240), width=3)
    _watermark(image)
    if title:
        pen.text((30, 22), title, font=font("text", 34 if width > 1000 else 28), fill=LABEL_INK)
    notice = font("chinese", 16)
    pen.text((30, height - 26), f"{NOTICE}   {NOTICE_ZH}", font=notice, fill=(150, 60, 60))
    return image, pen


def _watermark(image: Image.Image) -> None:
    mark = Image.new("L", image.size, 0)
    ImageDraw.Draw(mark).text(
        (image.width // 2, image.height // 2), "SPECIMEN", font=font("text", image.width // 7), fill=60, anchor="mm"
    )
    image.paste(Image.new("RGB", image.size, STAMP), mask=mark.rotate(24))


def _portrait(pen: ImageDraw.ImageDraw, corner: Point, size: Point) -> None:
    """A grey shape: nobody's face."""
    (x, y), (width, height) = corner, size
    pen.rectangle([x, y, x + width, y + height], fill=(208, 212, 218))
    pen.ellipse([x + width // 3, y + height // 5, x + width * 2 // 3, y + height // 2], fill=(168, 172, 180))
    pen.ellipse([x + width // 6, y + height * 11 // 20, x + width * 5 // 6, y + height - 6], fill=(168, 172, 180))


def _field(pen: ImageDraw.ImageDraw, corner: Point, label: str, value: str | None, *, size: int = 36) -> None:
    x, y = corner
    pen.text((x, y), label, font=font("text", size * 5 // 9), fill=LABEL_INK)
    pen.text((x, y + size * 7 // 10), value or "", font=font("text", size), fill=INK)


def _zone(pen: ImageDraw.ImageDraw, corner: Point, lines: Sequence[str], *, size: int) -> None:
    x, y = corner
    for i, line in enumerate(lines):
        pen.text((x, y + i * size * 4 // 3), line, font=font("zone", size), fill=INK)


def _day(facts: Facts) -> str:
    return f"{facts.birth_date:%d %b %Y}".upper()
