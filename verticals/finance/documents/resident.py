"""China's resident identity card, the side with the portrait: fields from lines of text. Ignores check digits.

Labels are small and pale, and suffer before values do: a field is known by its form and its place as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from verticals.finance.documents.ocr import Line, rows
from verticals.finance.documents.visual import DIGIT_FOR, Seen, iso_date

_CITIZEN = r"[\dOQDILZSB]{17}[\dXx]"
# The 56 groups of GB/T 3304.
_GROUPS = (
    "汉|蒙古|回|藏|维吾尔|苗|彝|壮|布依|朝鲜|满|侗|瑶|白|土家|哈尼|哈萨克|傣|黎|傈僳|佤|畲|高山|拉祜|水|东乡|纳西|景颇|柯尔克孜|土|"
    "达斡尔|仫佬|羌|布朗|撒拉|毛南|仡佬|锡伯|阿昌|普米|塔吉克|怒|乌孜别克|俄罗斯|鄂温克|德昂|保安|裕固|京|塔塔尔|独龙|鄂伦春|赫哲|"
    "门巴|珞巴|基诺"
)
_Build = Callable[[re.Match[str]], str | None]
_FIELDS: tuple[tuple[str, str, _Build], ...] = (
    ("name", r"^姓?名:?([\u3400-\u9fff·]{2,20})$", lambda m: m[1]),
    ("sex", r"^(?:性.?:?)?(男|女)", lambda m: "M" if m[1] == "男" else "F"),
    ("ethnicity", rf"^(?:性?.?[男女])?(?:民族|.?族|民.?|.)?:?({_GROUPS})族?$", lambda m: m[1]),
    ("birth_date", r"(\d{4})年(\d{1,2})月(\d{1,2})日?", lambda m: iso_date(m[1], m[2], m[3])),
    ("number", f"({_CITIZEN})", lambda m: m[1][:17].translate(DIGIT_FOR) + m[1][17].upper()),
)


def read_resident(lines: Sequence[Line]) -> dict[str, Seen]:
    """Fields of China's resident identity card, line by line; empty when the lines are not of one."""
    ordered = [(re.sub(r"\s", "", line.text), line) for row in rows(lines) for line in row]
    if not any(re.search(r"公民身份|身份号码|姓名|住址|\d年\d{1,2}月", text) for text, _ in ordered):
        return {}
    found: dict[str, Seen] = {}
    for name, pattern, build in _FIELDS:
        for text, line in ordered:
            if name not in found and (match := re.search(pattern, text)) and (value := build(match)):
                found[name] = Seen(value, line.score)
    if name_line := _after_label(ordered, "姓名"):
        found.setdefault("name", name_line)
    if address := _address(ordered):
        found["address"] = address
    return found if len(found) > 1 else {}


def _after_label(ordered: Sequence[tuple[str, Line]], label: str) -> Seen | None:
    """The line next to one that holds nothing but the label."""
    for (text, _), (value, line) in pairwise(ordered):
        if text == label:
            return Seen(value, line.score)
    return None


def _address(ordered: Sequence[tuple[str, Line]]) -> Seen | None:
    """What stands between the birth date and the number, without its label."""
    texts = [text for text, _ in ordered]
    start = next((i for i, text in enumerate(texts) if re.search(r"\d月\d", text)), None)
    end = next((i for i, text in enumerate(texts) if re.search(r"公民|份号码|" + _CITIZEN, text)), None)
    if start is None or end is None:
        return None
    part = [(re.sub(r"^(住址|住|.址|址):?", "", text), line) for text, line in ordered[start + 1 : end]]
    joined = "".join(text for text, _ in part)
    return Seen(joined, min(line.score for _, line in part)) if joined else None
