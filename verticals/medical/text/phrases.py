"""The words in which reports name findings, places and sides. Ignores whether what is named is there.

A concept is a kind of the vocabulary or, in `OTHERS`, something that no model of ours finds: it must be known here all
the same, so that a draft which names it can be refused. The lists of CheXpert's labeler (Irvin 2019, arXiv:1901.07031;
MIT) were read for them.
"""

from __future__ import annotations

import re

from verticals.medical import vocabulary
from verticals.medical.evidence import Side
from verticals.medical.vocabulary import CLEAR_LUNGS, KINDS

_HEART = r"(?:heart|cardiac|cardiomediastinal|cardiopericardial)"
_OF_HEART = rf"{_HEART}(?: (?:size|silhouette|shadow|contours?))*"
_IS = r"(?: (?:size|is|are|was|were|remains?|appears?|again|at|the|upper|limits?|of|mildly|slightly|moderately|"
_IS += r"persistently|XXXX|markedly|borderline|"
_IS += r"also|stable|top|prominent|and|not|now|somewhat|within|to|be|mild|moderate|severe))*"

# Of kinds in the vocabulary; longer phrases win over shorter ones that they hold.
_KINDS = {
    "opacity": r"(?:nodular )?(?:opacit(?:y|ies)|infiltrat(?:es?|ions?))|nodular densit(?:y|ies)|opacifications?|"
    r"air[- ]?space (?:disease|process)",
    "consolidation": r"consolidat(?:ions?|ed|ive)",
    "atelectasis": r"atelecta(?:sis|ses|tic)|collapse(?! of (?:a |the )?vertebra)",
    "edema": r"(?:(?:pulmonary|interstitial|alveolar) )*(?<!tissue )(?<!laryngeal )o?edema",
    "nodule": r"(?:(?:lung|pulmonary) )?nodul(?:es?|ar)",
    "effusion": r"(?:pleural )?effusions?|pleural fluid|(?:hydro|hydropneumo|haemo|hemo)thora(?:x|ces)",
    "pneumothorax": r"pneumothora(?:x|xes|ces)",
    "cardiomegaly": rf"cardiomegaly|{_OF_HEART}{_IS} (?:enlarge(?:d|ment)|large)|"
    rf"enlarge(?:d|ment)(?: of)?(?: the)? {_OF_HEART}",
    "pneumonia": r"(?:broncho)?pneumonias?|infecti(?:on|ous)(?: process)?",
    "mass": r"(?:(?:lung|pulmonary|mediastinal) )?mass(?:es)?(?! effect)",
    "granuloma": r"(?:calcified )?(?:granulomas?|granulomat(?:ous|osis)(?: (?:disease|change)s?)?)|"
    r"calcified (?:\w+ )?nodul(?:es?|ar densit(?:y|ies))",
    "scar": r"scar(?:s|ring)?|fibrosis|fibrotic|cicatri(?:x|ces)",
    "interstitial": r"interstitial (?:lung )?(?:markings?|changes?|disease|pattern|prominence)|reticul(?:ar|ations?)",
    "emphysema": r"(?<!subcutaneous )emphysema(?:tous)?",
    "hyperinflation": r"hyper-?(?:inflat|expan|aerat|disten|lucen)\w*|COPD|obstructive (?:pulmonary|lung) disease",
    "hypoinflation": r"hypo-?(?:inflat|expan|aerat|ventilat)\w*|low lung volumes?|lung volumes (?:are|remain) low",
    "congestion": r"(?:(?:pulmonary|vascular|central) )*congestion|cephali[sz]ation|"
    r"vascular (?:prominence|redistribution)",
    "pleural_thickening": r"(?:pleural|apical|pleuroparenchymal)(?: \w+)? thickening|pleural plaques?",
    "tortuous_aorta": r"tortuous(?: \w+){0,2} aorta|(?:aorta|aortic(?: arch)?)(?: \w+){0,3} tortuo(?:us|sity)|"
    r"aortic (?:tortuosity|ectasia)",
    "aortic_atherosclerosis": r"atherosclero\w*(?: (?:changes?|disease|calcifications?))?(?: of the(?: \w+)? aorta)?|"
    r"(?:aorta|aortic(?: \w+){0,2}) (?:is )?(?:calcifi\w+|atherosclero\w*)|calcifi\w+ (?:of the )?aorta",
    "mediastinal_widening": r"mediastinal widening|widen(?:ed|ing)(?: of)?(?: the)? mediastin(?:um|al)",
    "hernia": r"(?:hiatal |hiatus )?(?:hernias?|herniation)",
    "fracture": r"fractur(?:es?|ed)|compression deformit(?:y|ies)",
    "spondylosis": r"spondylosis|spondylitic|(?:spine|spinal|vertebral) degenerat\w+|"
    r"degenerat\w+(?: \w+){0,5} (?:spine|spinal|vertebra\w*)",
    "scoliosis": r"(?:dextro|levo)?(?:scoliosis|curvature)|scoliotic",
    "abnormality": r"abnormalit(?:y|ies)|(?:cardiopulmonary|airspace|pulmonary|chest) (?:disease|process|findings?)",
    "acute": r"(?:acute|active) (?:radiographic )?(?:cardiopulmonary|pulmonary|chest)? ?"
    r"(?:abnormalit(?:y|ies)|disease|process|findings?)",
    "microaneurysm": r"micro-?aneurysms?",
    "haemorrhage": r"(?:(?:retinal|intraretinal|dot|blot|flame) )*ha?emorrhages?",
    "hard_exudate": r"hard exudates?",
    "cotton_wool_spot": r"cotton[- ]wool spots?",
}
# Named in reports, found by no model of ours.
OTHERS = {
    "tumour": r"tumou?rs?|neoplas(?:m|ms|tic)|malignan(?:cy|t)|carcinomas?|cancers?|metasta(?:sis|ses|tic)",
    "lesion": r"lesions?|cavit(?:y|ies|ation)|lymphadenopathy|adenopathy|bullae?|abscess(?:es)?|cysts?",
    "other_hernia": r"(?:bochdalek|morgagni|diaphragmatic|inguinal|umbilical|ventral) hernias?",
    "kyphosis": r"kyphosis|kyphotic",
    "thickening": r"thickening|(?:costophrenic )?blunting|plaques?",
    "heart_failure": r"(?:congestive )?heart failure|congestive|CHF",
    "pericardial": r"pericardial effusions?",
    "air": r"pneumo(?:mediastinum|peritoneum)|subcutaneous emphysema|free air",
    "aorta": r"aneurysms?|(?:aortic|aorta)(?: \w+){0,2} (?:ectas|dissect)\w*|tortuous",
    "calcification": r"calcifi(?:ed|cations?)",
    "degeneration": r"degenerat\w+|osteophyt\w+|spondyl\w+|arthrit\w+|osteopeni\w+|osteoporo\w+|spurring",
    "device": r"tubes?|catheters?|pacemakers?|lines?(?= )|PICC|ports?(?:-a-cath)?|stents?|clips?|sternotomy|wires?|"
    r"prosthe\w+|implants?",
    "embolism": r"embol(?:us|i|ism)|infarct(?:s|ion)?|thromb(?:us|osis)",
    "tuberculosis": r"tubercul(?:osis|ous)|TB|COVID-19|sarcoid(?:osis)?",
    "retinal": r"drusen|neovasculari[sz]ation|macular (?:o?edema|hole)|detachment|retinopathy|glaucoma\w*|"
    r"cataracts?|soft exudates?",
    "elevation": r"(?:elevat|eventrat)\w+(?= (?:of the )?(?:\w+ )?(?:hemi)?diaphragm)|"
    r"(?:hemi)?diaphragm\w*(?: is| are)? elevat\w+",
    "deviation": r"(?:tracheal|mediastinal) (?:shift|deviation)|hilar (?:prominence|enlargement|fullness)|"
    r"mediastinal fullness",
}
# Say that kinds are not there without naming them.
_NORMAL: dict[tuple[str, ...], str] = {
    ("cardiomegaly",): rf"(?:normal|unremarkable)(?: in)? {_HEART}(?: \w+)?(?: size| silhouette)?|"
    rf"{_OF_HEART}(?: and [a-z ]{{3,30}})?(?: (?:is|are|size|remains?|appears?|grossly|both|again))*"
    rf" (?:normal|unremarkable|within (?:the )?(?:upper )?(?:limits of normal|normal limits))",
    ("mediastinal_widening",): r"mediastin(?:um|al (?:contours?|silhouette))"
    r"(?: (?:is|are|remains?|appears?|grossly))* (?:normal|unremarkable|within (?:the )?normal limits)|"
    r"(?:normal|unremarkable) mediastin(?:um|al (?:contours?|silhouette))",
    CLEAR_LUNGS: r"(?:lungs|lung fields|lung zones)(?: (?:is|are|remain|appear|both|grossly|otherwise))* clear|"
    r"clear (?:lungs|lung fields)",
}

_SITES = {
    "upper_lung_zone": r"upper (?:lung )?(?:zones?|lobes?|fields?|lungs?)|ap(?:ex|ices|ical)",
    "middle_lung_zone": r"mid(?:dle)?[- ](?:lung )?(?:zones?|lobes?|fields?|lungs?)|lingula\w*|perihilar",
    "lower_lung_zone": r"lower (?:lung )?(?:zones?|lobes?|fields?|lungs?)|(?:bi)?bas(?:es?|al|ilar)",
    "lung": r"lungs?",
    "pleura": r"pleural? ?(?:space)?",
    "heart": r"heart",
    "mediastinum": r"mediastin(?:um|al)",
    "thorax": r"chest|thora(?:x|cic cavity)",
    "retina": r"retina|eyes?|fundus",
}
_SIDES: dict[Side, str] = {
    "left": r"left(?:[- ]sided)?|lt\.?",
    "right": r"right(?:[- ]sided)?|rt\.?",
    "both": r"bilateral(?:ly)?|both|bi(?=basilar|apical|basal)",
}


def _compile(table: dict[str, str]) -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"\b(?:{text})\b", re.IGNORECASE) for name, text in table.items()}


# A kind or site without an entry of its own is known by its name in the vocabulary.
CONCEPTS = _compile({name: rf"{re.escape(kind.english)}s?" for name, kind in KINDS.items()} | _KINDS | OTHERS)
NORMAL = {kinds: re.compile(rf"\b(?:{text})\b", re.IGNORECASE) for kinds, text in _NORMAL.items()}
PLACES = _compile({name: re.escape(site.english) for name, site in vocabulary.SITES.items()} | _SITES)
SIDES: dict[Side, re.Pattern[str]] = {
    side: re.compile(rf"\b(?:{text})(?:\b|(?<=bi))", re.IGNORECASE) for side, text in _SIDES.items()
}
