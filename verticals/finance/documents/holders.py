"""Invented people and the facts on their invented documents, from a seed. Draws nothing.

The issuing state is Utopia (UTO), which Doc 9303 reserves for specimens. A citizen number names a prefecture (91-99)
that GB/T 2260 does not assign, so no resident can have it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from verticals.finance.documents import chinese_id
from verticals.finance.documents.mrz import FILLER, check_digit
from verticals.finance.documents.spelling import to_mrz

Kind = Literal["passport", "identity_card", "resident_card"]
STATE = "UTO"

_SURNAMES = (
    "ANDERSON BAKER BERGSTRÖM BIANCHI CASTRO DUBOIS ERIKSSON FERNANDES GARCIA HOFFMANN IVANOVA JANSEN KOWALSKI "
    "KUZMIN LEHTONEN LINDQVIST MARTIN MÜLLER NAKAMURA NGUYEN NOVAK O'CONNOR OLSEN PAPADOPOULOS PETROVIC QUINN ROSSI "
    "SANTOS SCHMIDT SINGH SMITH-JONES TANAKA TORRES VARGA WAGNER WILLIAMS YILMAZ ZIMMERMANN"
)
_TWO_PARTS = ("DA SILVA", "VAN DER BERG")
_GIVEN = {
    "F": "ALICE ANNA BEATRIZ CLARA DANIELA ELENA EMMA FATIMA GRACE HANNAH INES JULIA LAURA MARIA NINA OLIVIA SOFIA ZOE",
    "M": "ADAM BRUNO CARLOS DANIEL EDGAR FELIX GEORGE HUGO IVAN JACK LIAM MARCO NOAH OSCAR PAUL SIMON THOMAS VICTOR",
}
_NATIONALITIES = ("UTO", "UTO", "UTO", "FRA", "D", "GBR", "SWE", "BRA", "IND", "JPN", "CHN", "POL")
_FAMILY_ZH = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
_GIVEN_ZH = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀英霞平刚桂兰文华志建国春梅红玉龙海燕晓雪宇浩欣怡梓涵子轩思远"
_ETHNICITIES = ("汉",) * 12 + ("满", "回", "壮", "苗", "蒙古", "维吾尔", "土家", "彝")
_PROVINCES = {
    "11": "北京市",
    "31": "上海市",
    "32": "江苏省",
    "33": "浙江省",
    "42": "湖北省",
    "44": "广东省",
    "51": "四川省",
}
_STREETS = ("长安路", "人民东路", "解放大街", "中山北路", "和平街", "建设路", "文化巷", "朝阳大道", "学府路", "花园街")


@dataclass(frozen=True)
class Facts:
    """What is printed on a document, as it is printed. What its kind does not show is None."""

    kind: Kind
    name: str | None = None  # resident card: family and given name in one
    surname: str | None = None
    given_names: str | None = None
    birth_date: date | None = None
    sex: Literal["F", "M"] | None = None
    nationality: str | None = None
    number: str | None = None
    expiry_date: date | None = None
    ethnicity: str | None = None
    address: str | None = None
    mrz: tuple[str, ...] = ()


def invent(kind: Kind, *, seed: int, today: date) -> Facts:
    """A document of somebody who does not exist: same arguments, same facts. Some have expired."""
    rng = random.Random(f"{kind}-{seed}")  # noqa: S311 - for specimens, not for secrets
    birth = today - timedelta(days=rng.randrange(19 * 366, 80 * 365))
    sex: Literal["F", "M"] = rng.choice(("F", "M"))
    return _resident(rng, birth, sex) if kind == "resident_card" else _traveller(rng, kind, birth, sex, today)


def _traveller(rng: random.Random, kind: Kind, birth: date, sex: Literal["F", "M"], today: date) -> Facts:
    surnames = [*_TWO_PARTS, *_SURNAMES.split()]
    given = " ".join(rng.sample(_GIVEN[sex].split(), rng.choice((1, 2, 2))))
    letters = "CFGHJKLMNPRTVWXYZ"  # those of German passports: no vowels, no B, D, Q, S
    number = rng.choice(letters) + "".join(rng.choice("0123456789" + letters) for _ in range(8))
    facts = Facts(
        kind=kind,
        surname=rng.choice(surnames),
        given_names=given,
        birth_date=birth,
        sex=sex,
        nationality=rng.choice(_NATIONALITIES),
        number=number,
        expiry_date=today + timedelta(days=rng.randrange(-700, 3600)),
    )
    return replace(facts, mrz=zone(facts))


def zone(facts: Facts) -> tuple[str, ...]:
    """The machine-readable zone: TD3 of a passport, TD1 of an identity card."""
    names = f"{to_mrz(facts.surname or '')}<<{to_mrz(facts.given_names or '')}"
    number = (facts.number or "").ljust(9, FILLER)
    number += check_digit(number)
    birth, expiry = (f"{day:%y%m%d}" if day else FILLER * 6 for day in (facts.birth_date, facts.expiry_date))
    birth, expiry = birth + check_digit(birth), expiry + check_digit(expiry)
    nationality, sex = (facts.nationality or "").ljust(3, FILLER), facts.sex or FILLER
    if facts.kind == "passport":
        optional = FILLER * 14 + "0"
        last = check_digit(number + birth + expiry + optional)
        first = f"P<{STATE}{names}"[:44].ljust(44, FILLER)
        return first, f"{number}{nationality}{birth}{sex}{expiry}{optional}{last}"
    first = f"I<{STATE}{number}".ljust(30, FILLER)
    optional = FILLER * 11
    last = check_digit(first[5:] + birth + expiry + optional)
    return first, f"{birth}{sex}{expiry}{nationality}{optional}{last}", names[:30].ljust(30, FILLER)


def _resident(rng: random.Random, birth: date, sex: Literal["F", "M"]) -> Facts:
    province = rng.choice(sorted(_PROVINCES))
    order = rng.randrange(0, 500) * 2 + (sex == "M")
    first = f"{province}{rng.randrange(91, 100)}{rng.randrange(1, 100):02}{birth:%Y%m%d}{order:03}"
    street = f"{rng.choice(_STREETS)}{rng.randrange(1, 400)}号"
    rest = f"{rng.randrange(1, 30)}幢{rng.randrange(1, 6)}单元{rng.randrange(1, 30)}0{rng.randrange(1, 5)}室"
    return Facts(
        kind="resident_card",
        name=rng.choice(_FAMILY_ZH) + "".join(rng.choice(_GIVEN_ZH) for _ in range(rng.choice((1, 2, 2)))),
        birth_date=birth,
        sex=sex,
        number=first + chinese_id.check_character(first),
        ethnicity=rng.choice(_ETHNICITIES),
        address=f"{_PROVINCES[province]}示例市模拟区{street}{rest if rng.random() < 0.7 else ''}",
    )
