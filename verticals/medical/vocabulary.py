"""What can be found, and where: each kind and site with its words in English and Chinese and its code. Nothing else.

Codes are SNOMED CT where DICOM's own code dictionary (PS3.16, as pydicom carries it) has the concept; the rest are in
our private scheme 99TRIVIUM (PS3.16 8.2: a scheme of one's own begins with 99), so that no code is made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PRIVATE_SCHEME = "99TRIVIUM"
Number = Literal["counted", "uncounted", "plural"]


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.3 8.8)."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Site:
    """A place in the body; `is_paired`: it has a left and a right."""

    english: str
    chinese: str
    code: Code
    is_paired: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its words, code, and the sites where it can be, the usual one first.

    Only a counted name has a plural of its own; another is one name for all there is.
    """

    english: str
    chinese: str
    code: Code
    sites: tuple[str, ...]
    modalities: tuple[str, ...]
    number: Number = "counted"


def _sct(value: str, meaning: str) -> Code:
    return Code("SCT", value, meaning)


def _own(value: str, meaning: str) -> Code:
    return Code(PRIVATE_SCHEME, value, meaning)


SITES: dict[str, Site] = {
    "lung": Site("lung", "肺", _sct("39607008", "Lung"), is_paired=True),
    "upper_lung_zone": Site("upper lung zone", "上肺野", _own("upper-lung-zone", "Upper lung zone"), is_paired=True),
    "middle_lung_zone": Site(
        "middle lung zone", "中肺野", _own("middle-lung-zone", "Middle lung zone"), is_paired=True
    ),
    "lower_lung_zone": Site("lower lung zone", "下肺野", _own("lower-lung-zone", "Lower lung zone"), is_paired=True),
    "pleura": Site("pleura", "胸膜", _sct("3120008", "Pleura"), is_paired=True),
    "heart": Site("heart", "心脏", _sct("80891009", "Heart")),
    "mediastinum": Site("mediastinum", "纵隔", _sct("72410000", "Mediastinum")),
    "aorta": Site("aorta", "主动脉", _sct("15825003", "Aorta")),
    "bone": Site("thoracic skeleton", "胸廓骨骼", _sct("272710004", "Bone of thorax"), is_paired=True),
    "spine": Site("spine", "脊柱", _sct("421060004", "Spine")),
    "thorax": Site("chest", "胸部", _sct("51185008", "Chest")),
    "retina": Site("retina", "视网膜", _sct("5665001", "Retina"), is_paired=True),
}

# RadLex's own term beside the code above, where two independent public lists agree on its identifier (RSNA; free to use
# with its licence). No identifier is guessed: a kind without one has none.
RADLEX: dict[str, Code] = {
    kind: Code("RADLEX", value, meaning)
    for kind, value, meaning in (
        ("opacity", "RID28530", "opacity"),
        ("consolidation", "RID43255", "consolidation"),
        ("atelectasis", "RID28493", "atelectasis"),
        ("effusion", "RID34539", "pleural effusion"),
        ("pneumothorax", "RID5352", "pneumothorax"),
    )
}

_LUNG = ("lung", "upper_lung_zone", "middle_lung_zone", "lower_lung_zone")
_FILM, _CT, _FUNDUS = ("CR", "DX"), ("CT",), ("OP", "XC")


def _film(english: str, chinese: str, code: Code, *sites: str, number: Number = "counted") -> Kind:
    return Kind(english, chinese, code, sites, _FILM, number)


def _retinal(english: str, chinese: str, code: Code, number: Number = "counted") -> Kind:
    return Kind(english, chinese, code, ("retina",), _FUNDUS, number)


def _retinopathy(grade: str, chinese: str, code: str) -> Kind:
    english = f"{grade}diabetic retinopathy"
    return _retinal(english, f"{chinese}糖尿病视网膜病变", _own(code, english.capitalize()), "uncounted")


KINDS: dict[str, Kind] = {
    "opacity": _film("opacity", "阴影", _own("opacity", "Opacity"), *_LUNG),
    "consolidation": _film("consolidation", "实变", _own("consolidation", "Consolidation"), *_LUNG),
    "atelectasis": _film("atelectasis", "肺不张", _own("atelectasis", "Atelectasis"), *_LUNG, number="uncounted"),
    "edema": _film("pulmonary edema", "肺水肿", _sct("19242006", "Pulmonary edema"), "lung", number="uncounted"),
    "nodule": Kind("nodule", "结节", _sct("27925004", "Nodule"), _LUNG, (*_FILM, *_CT)),
    "pneumonia": _film("pneumonia", "肺炎", _own("pneumonia", "Pneumonia"), *_LUNG, number="uncounted"),
    "mass": _film("mass", "肿块", _sct("4147007", "Mass"), *_LUNG, "mediastinum"),
    "granuloma": _film(
        "calcified granuloma", "钙化肉芽肿", _own("granuloma", "Calcified granuloma"), *_LUNG, "mediastinum"
    ),
    "scar": _film("scarring", "瘢痕", _sct("12402003", "Scar"), *_LUNG, number="uncounted"),
    "interstitial": _film(
        "interstitial disease", "间质性病变", _own("interstitial", "Interstitial disease"), *_LUNG, number="uncounted"
    ),
    "emphysema": _film("emphysema", "肺气肿", _own("emphysema", "Emphysema of lung"), *_LUNG, number="uncounted"),
    "hyperinflation": _film(
        "hyperinflation", "肺过度充气", _own("hyperinflation", "Hyperinflation of lung"), "lung", number="uncounted"
    ),
    "hypoinflation": _film(
        "hypoinflation", "肺容量减低", _own("hypoinflation", "Hypoinflation of lung"), "lung", number="uncounted"
    ),
    "congestion": _film(
        "pulmonary vascular congestion",
        "肺血管充血",
        _own("congestion", "Pulmonary vascular congestion"),
        "lung",
        number="uncounted",
    ),
    "effusion": _film("pleural effusion", "胸腔积液", _sct("60046008", "Pleural effusion"), "pleura"),
    "pneumothorax": _film("pneumothorax", "气胸", _sct("36118008", "Pneumothorax"), "pleura"),
    "pleural_thickening": _film(
        "pleural thickening", "胸膜增厚", _own("pleural-thicken", "Pleural thickening"), "pleura", number="uncounted"
    ),
    "cardiomegaly": _film("cardiomegaly", "心影增大", _sct("287272002", "Cardiomegaly"), "heart", number="uncounted"),
    "tortuous_aorta": _film("tortuous aorta", "主动脉迂曲", _own("tortuous-aorta", "Tortuous aorta"), "aorta"),
    "aortic_atherosclerosis": _film(
        "aortic atherosclerosis",
        "主动脉粥样硬化",
        _own("aortic-athero", "Atherosclerosis of aorta"),
        "aorta",
        number="uncounted",
    ),
    "mediastinal_widening": _film(
        "mediastinal widening",
        "纵隔增宽",
        _own("wide-mediastinum", "Widening of mediastinum"),
        "mediastinum",
        number="uncounted",
    ),
    "hernia": _film("hiatal hernia", "食管裂孔疝", _own("hiatal-hernia", "Hiatal hernia"), "mediastinum"),
    "fracture": _film("fracture", "骨折", _own("fracture", "Fracture"), "bone", "spine"),
    "spondylosis": _film(
        "degenerative changes of the spine",
        "脊柱退行性变",
        _own("spine-degen", "Degenerative changes of spine"),
        "spine",
        number="plural",
    ),
    "scoliosis": _film("scoliosis", "脊柱侧弯", _own("scoliosis", "Scoliosis"), "spine", number="uncounted"),
    "abnormality": _film("abnormality", "异常", _own("abnormality", "Abnormality"), "thorax"),
    "acute": _film(
        "acute cardiopulmonary abnormality",
        "急性心肺异常",
        _own("acute", "Acute cardiopulmonary abnormality"),
        "thorax",
    ),
    "microaneurysm": _retinal("microaneurysm", "微动脉瘤", _own("microaneurysm", "Microaneurysm")),
    "haemorrhage": _retinal("retinal haemorrhage", "视网膜出血", _sct("50960005", "Hemorrhage")),
    "hard_exudate": _retinal("hard exudate", "硬性渗出", _own("hard-exudate", "Hard exudate")),
    "cotton_wool_spot": _retinal("cotton-wool spot", "棉絮斑", _own("cotton-wool-spot", "Cotton-wool spot")),
    "dr": _retinopathy("", "", "dr"),
    "dr_mild": _retinopathy("mild nonproliferative ", "轻度非增殖性", "dr-mild"),
    "dr_moderate": _retinopathy("moderate nonproliferative ", "中度非增殖性", "dr-moderate"),
    "dr_severe": _retinopathy("severe nonproliferative ", "重度非增殖性", "dr-severe"),
    "dr_proliferative": _retinopathy("proliferative ", "增殖性", "dr-proliferative"),
}

# What "the lungs are clear" denies, written or read.
CLEAR_LUNGS = ("opacity", "consolidation", "atelectasis", "edema", "nodule", "pneumonia", "mass")


def codes_of(kind: str) -> tuple[Code, ...]:
    """The code of a key of `KINDS`, and RadLex's beside it where we have one."""
    return KINDS[kind].code, *([RADLEX[kind]] if kind in RADLEX else ())
