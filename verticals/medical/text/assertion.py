"""Whether what is named is said to be there, not to be there, or in doubt, and whether it is history. Ignores names.

Cues with a scope, after NegEx (Chapman 2001, doi:10.1006/jbin.2001.1029) and ConText (Harkema 2009,
doi:10.1016/j.jbi.2009.05.002): a cue before or after a phrase reaches it unless a
word that ends its scope lies between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from verticals.medical.evidence import Presence

_TO_BE = r"(?:is|are|was|were|has|have|be|been|being)"
_SEEN = (
    r"(?:seen|identified|present|evident|appreciated|visuali[sz]ed|demonstrated|observed|detected|noted|visible|found)"
)
_CANNOT = r"(?:cannot|can not|could not|not)"
# Hold a cue's words and are none.
_NOT_CUES = (
    r"no (?:significant |interval |appreciable |definite )*(?:change|increase|decrease|improvement)s?(?: in| of)?|"
    r"without (?:significant |interval )*change|no longer than|not necessarily|may not|could not be obtained|"
    r"not (?:significantly )?changed|not only"
)
_CUES = {
    "absent before": r"no(?! longer)|not|without|negative for|(?:is|are|be|lungs) free of|clear of|absence of|"
    r"den(?:y|ies|ied)|never|neither|nor|lack of|resol(?:ution|ved|ving)(?: of)?|excluded?|excludes|rather than|non",
    "absent after": rf"(?:{_TO_BE} )?(?:not|no longer)(?: \w+){{0,2}}[ -]{_SEEN}|"
    rf"(?:{_TO_BE} )?(?:absent|excluded|ruled out|resolved|cleared)",
    "uncertain before": r"possibl[ey]|probabl[ey]|may|might|could|suspect(?:ed)?|suspicious for|suspicion (?:of|for)|"
    rf"{_CANNOT} (?:entirely |completely |definitely )?(?:be )?(?:excluded?|rule out)|concern(?:ing)? for|"
    r"question(?:able)?(?: of)?|suggest(?:s|ed|ing|ion|ive)?(?: of)?|likely|versus|vs\.?|worrisome for|"
    r"rule out|r/o|evaluate for|correlat\w+(?: \w+)? for|possibility of|favor(?:s|ed|ing)?|"
    r"differential|equivocal|presum(?:ed|ably)|appearance of|consider(?:ation)?",
    "uncertain after": rf"{_CANNOT} (?:be )?(?:\w+ )?(?:excluded|ruled out)|difficult to exclude|may be present|"
    rf"(?:{_TO_BE} |may be |might be |could be )?(?:possible|suspected|question(?:ed|able)|likely|probable)|"
    r"versus|vs\.?|(?:is |are )?in the differential",
    "history": r"history of|hx(?: of)?|h/o|status post|s/p|previous(?:ly)?|prior|remote|past",
}
_SCOPE_ENDS = (
    r"but|however|although|though|except(?: for)?|aside from|apart from|other than|otherwise|which|;|:| - |"
    r"\bthere (?:is|are)|as well as|while|yet|still|"
    r"(?<=, )(?:stable|(?:mild|moderate)(?! nonprolif)|small|chronic|unchanged|calcified|there)"
)
# A cause is not denied with its effect, but doubted with it: "may be due to atelectasis".
_DENIAL_ENDS = r"secondary to|due to|because|with(?! (?:no|out))(?= )"


def _word(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{text})(?![\w])", re.IGNORECASE)


_MASK = _word(_NOT_CUES)
_PATTERNS = {kind: _word(text) for kind, text in _CUES.items()}
_ENDS = re.compile(_SCOPE_ENDS, re.IGNORECASE)
_ENDS_OF_DENIAL = re.compile(f"{_SCOPE_ENDS}|{_DENIAL_ENDS}", re.IGNORECASE)


@dataclass(frozen=True)
class Assertion:
    """`is_history`: of another time than the study."""

    presence: Presence
    is_history: bool = False


class Cues:
    """The cues of one sentence."""

    def __init__(self, sentence: str) -> None:
        self._text = _MASK.sub(lambda found: "~" * len(found[0]), sentence)
        self._cues = [(kind, *m.span()) for kind, pattern in _PATTERNS.items() for m in pattern.finditer(self._text)]
        self._ends = [m.start() for m in _ENDS.finditer(self._text)]
        self._ends_of_denial = [m.start() for m in _ENDS_OF_DENIAL.finditer(self._text)]

    def assertion(self, start: int, end: int) -> Assertion:
        """Of the phrase at [start, end). What is denied is denied, however doubtfully: "no findings to suggest it"."""
        reaching = [cue for cue in self._cues if self._reaches(cue, start, end)]
        doubts = [(at, to) for kind, at, to in reaching if kind.startswith("uncertain")]
        # "cannot be excluded" holds a "not" and an "excluded" that deny nothing
        denied = any(
            kind.startswith("absent") and not any(low <= at < high for low, high in doubts) for kind, at, _ in reaching
        )
        presence: Presence = "absent" if denied else "uncertain" if doubts else "present"
        return Assertion(presence, any(kind == "history" for kind, _, _ in reaching))

    def _reaches(self, cue: tuple[str, int, int], start: int, end: int) -> bool:
        kind, at, to = cue
        ends = self._ends_of_denial if kind.startswith("absent") else self._ends
        if kind.endswith("after"):
            return at >= end and not any(end <= e < at for e in ends)
        # a cue may stand inside a phrase: "heart is not enlarged"
        return at < end and not any(to <= e < start for e in ends) and (to <= start or at > start)
