"""What a Chinese sentence claims: its words, numbers, limits and negations, in the terms that English is read in.

Ignores grammar beyond the word after a negation. Names of limits are English words, so that one check compares a
sentence with its evidence in both languages.
"""

from __future__ import annotations

import re

from retrieval.words import chinese_words

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_HAN_RUN = re.compile(f"[{_HAN}]+")
NUMERAL = "[零〇一二两三四五六七八九十百千万半]+"
_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_TENS = {"十": 10, "百": 100, "千": 1000, "万": 10_000}
_PERCENT = re.compile(rf"百分之(\d+(?:\.\d+)?|{NUMERAL})")
_FULL_WIDTH = str.maketrans("０１２３４５６７８９％．＄￥", "0123456789%.$¥")
UNITS = {
    "个工作日": "working day", "工作日": "working day", "自然日": "day", "天": "day", "日": "day", "晚": "night",
    "个星期": "week", "星期": "week", "个礼拜": "week", "礼拜": "week", "周": "week", "个月": "month",
    "月": "month name", "年": "year", "个小时": "hour", "小时": "hour", "分钟": "minute", "美元": "$", "美金": "$",
    "元": "¥", "块": "¥", "欧元": "€", "英镑": "£", "公斤": "kg", "千克": "kg", "英寸": "inch", "英尺": "foot",
    "英里": "mile", "磅": "pound", "厘米": "cm", "毫米": "mm", "积分": "point", "次": "time",
    "折": "tenths of the price",
}  # fmt: skip
# The longer wording first: "不超过" is a limit, not a negated one. Single signs count only where they are a word.
_LIMITS = {
    "most": r"不得超过|不能超过|不可超过|不超过|不多于|不高于|至多|最多",
    "least": r"不少于|不低于|至少|最少|起码",
    "majority": r"大多数|大部分|多数",
    "only": r"(?<!不)(?:仅限|限于|仅|只有|只能|只限)|(?<![一两几每不\d])只|唯一",
    "unless": r"除非",
    "except": r"除了|除外|以外|之外",
    "if": r"如果|假如|倘若|要是|一旦|的话|若(?!干)|如(?![何下此常同今意约])",
    "until": r"直到|截至|截止|为止",
    "within": r"以内|之内|(?<=[天日周月年时钟期])内",
    "before": r"之前|以前|(?<![提当目从向以])前(?![往面后台来提者])",
    "after": r"之后|以后|(?<![售最然今此])后(?![续来果台面])",
    "over": r"超过|超出|以上|多于|大于|高于|满(?=\s*(?:\d|[一二两三四五六七八九十百]))",
    "under": r"以下|低于|少于|小于|不足|不到|不满(?=\s*\d)",
    "must": r"必须|务必|应当|(?<![无毋])须",
    "all": r"所有|全部|任何|一切|一律|均|都",
    "always": r"总是|始终|随时",
    "free": r"免费|包邮|免(?=运费|邮|收|利息)",
}
_LIMIT = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _LIMITS.items()))
_NEGATION = re.compile(
    r"(?P<needless>无需|无须|毋须|不必|不用|不需要|不需)|"
    r"(?P<not>不能|不可以|不可|不得|不会|不予|不许|不准|不支持|不接受|没有|没|未能|未|无法|无|非(?!常)|"
    r"请勿|切勿|勿|别(?![的人处])|拒绝|禁止|绝不|永不|不(?![锈同仅过但论管断妨如久时]))"
)


def has_chinese(text: str) -> bool:
    """Whether a text has any Chinese sign."""
    return bool(_HAN_RUN.search(text))


def plain_numbers(text: str) -> str:
    """The text with usual digits and signs, and "百分之二十" as "20%"."""
    return _PERCENT.sub(lambda found: f"{number(found[1])}%", text.translate(_FULL_WIDTH))


def number(numeral: str) -> str:
    """A numeral in digits: "三十" is "30", "两" is "2", "半" is "0.5"; one in digits stays."""
    if numeral == "半":
        return "0.5"
    if numeral[0].isdigit():
        return numeral
    total, section, digit = 0, 0, 0
    for sign in numeral:
        if sign == "万":
            total, section, digit = (total + section + digit) * 10_000, 0, 0
        elif sign in _TENS:
            section, digit = section + (digit or 1) * _TENS[sign], 0
        elif sign in _DIGITS:
            digit = _DIGITS[sign]
    return str(total + section + digit)


def limits(text: str) -> frozenset[str]:
    """Names of the limits and conditions that a text states, such as "within", "only" and "unless"."""
    return frozenset(str(found.lastgroup) for found in _LIMIT.finditer(text))


def negated(text: str) -> frozenset[str]:
    """What a text denies: "not" or "needless" and the sign after it, so that "不可退货" and "不能退" agree.

    "无需退货" (no need) and "不能退货" (no way) do not.
    """
    found = set()
    rest = _LIMIT.sub(" ", text)
    for negation in _NEGATION.finditer(rest):
        clause = re.split(r"[，。；！？、,;!?]", rest[negation.end() :], maxsplit=1)[0]
        words = content_words(clause)
        found.add(f"{negation.lastgroup} {words[0][0] if words else ''}")
    return frozenset(found)


def content_words(text: str) -> list[str]:
    """Words and signs that carry content, as they are indexed; limits and negations are checked by themselves."""
    rest = _NEGATION.sub(" ", _LIMIT.sub(" ", text))
    return [word for run in _HAN_RUN.findall(rest) for word in chinese_words(run)]
