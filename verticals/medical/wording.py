"""The sentences that can say a finding: each holds its kind, place, side, size and certainty, and nothing else.

Ignores which of them is chosen. The first of each is the template's; a language model may choose among all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Side
from verticals.medical.vocabulary import CLEAR_LUNGS, KINDS, SITES

_PLURALS = {"pneumothorax": "pneumothoraces", "mass": "masses"}
_SIZES = {
    "diameter": ("measuring {} in diameter", "mm"),
    "area": ("with an area of {}", "mm²"),
    "volume": ("with a volume of {}", "mm³"),
}
# Said of exactly these kinds, when none of them is there.
_NORMAL = {
    "The lungs are clear.": set(CLEAR_LUNGS),
    "The heart is normal in size.": {"cardiomegaly"},
    "Mediastinal contours are normal.": {"mediastinal_widening"},
}
_ON_A_SIDE = ("pleura", "bone")  # only the side is told


@dataclass(frozen=True)
class Statement:
    """Findings that one sentence says, and the ways in which it can."""

    findings: tuple[Finding, ...]
    choices: tuple[str, ...]

    @property
    def short(self) -> str:
        """As an impression has it."""
        return min(self.choices, key=len)


def statements(evidence: EvidenceGraph) -> list[Statement]:
    """What a draft says, site by site: what is there, one by one; then what is not, together.

    Findings that differ in nothing are said once, in the plural.
    """
    listed: list[Statement] = []
    for _, group in groupby(sorted(evidence.findings, key=_site_order), key=_site_order):
        findings = list(group)
        listed += [_present(alike) for alike in _alike([f for f in findings if f.presence != "absent"])]
        absent = [f for f in findings if f.presence == "absent"]
        listed += [_absent(f) for f in absent if not _is_everywhere(f)]
        listed += _none_of(list({f.kind: f for f in absent if _is_everywhere(f)}.values()))
    return listed


def impression(said: Sequence[Statement]) -> list[str]:
    """What is or may be there, in short, and what is said of the chest as a whole."""
    return [s.short for s in said if s.findings[0].presence != "absent" or is_of_the_whole(s)]


def is_of_the_whole(statement: Statement) -> bool:
    """Whether it stands in the impression alone: it concludes, and names no structure."""
    return KINDS[statement.findings[0].kind].sites[0] == "thorax"


def number(value: float) -> str:
    """As a report writes a size: tenths below a hundred, two digits below one."""
    if value < 1:
        return format(Decimal(f"{value:.2g}"), "f")
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for f in findings:
        site = None if _is_usual(f) else f.site
        key = (f.finding_id,) if f.measurements else (f.kind, f.presence, site, f.side)
        groups.setdefault(key, []).append(f)
    return list(groups.values())


def _present(alike: Sequence[Finding]) -> Statement:
    first = alike[0]
    many = len(alike) > 1
    noun, where, size = _noun(first.kind, many=many), _where(first), _size(first.measurements)
    described, verb = f"{_adjectives(first)} {noun}".strip(), "are" if many or _is_plural(first) else "is"
    if first.presence == "uncertain":
        choices = (
            f"Possible {noun}{where}{size}.",
            f"There may be {_article(noun, first.kind, many=many)}{noun}{where}{size}.",
            f"Suspected {described}{size}.",
        )
    else:
        choices = (
            f"There {verb} {_article(noun, first.kind, many=many)}{noun}{where}{size}.",
            f"{_capital(noun)}{where}{size}.",
            f"{_capital(described)}{size}.",
        )
    return Statement(tuple(alike), choices)


def _absent(finding: Finding) -> Statement:
    noun = _noun(finding.kind)
    described = f"{_adjectives(finding)} {noun}".strip()
    verb = "are" if _is_plural(finding) else "is"
    choices = f"No {described}.", f"There {verb} no {noun}{_where(finding)}.", f"{_capital(described)} {verb} not seen."
    return Statement((finding,), choices)


def _none_of(findings: Sequence[Finding]) -> Iterator[Statement]:
    """Of one site: what is said to be normal, and what then is left."""
    kinds = {f.kind for f in findings}
    normal, clear = next((item for item in _NORMAL.items() if item[1] <= kinds), ("", set[str]()))
    if normal:
        told = [f for f in findings if f.kind in clear]
        yield Statement(tuple(told), (normal, *_denials(told)[:2]))
    if left := [f for f in findings if f.kind not in clear]:
        yield Statement(tuple(left), _denials(left))


def _denials(findings: Sequence[Finding]) -> tuple[str, ...]:
    nouns = [_noun(f.kind) for f in findings]
    either, both = _list(nouns, "or"), _list(nouns, "and")
    verb = "are" if _is_plural(findings[0]) else "is"
    seen = "are not seen" if len(nouns) > 1 else f"{verb} not seen"
    return f"No {either}.", f"There {verb} no {either}.", f"{_capital(both)} {seen}."


def _is_plural(finding: Finding) -> bool:
    return KINDS[finding.kind].number == "plural"


def _is_everywhere(finding: Finding) -> bool:
    return finding.side in (None, "both") and finding.site in (None, KINDS[finding.kind].sites[0])


def _site_order(finding: Finding) -> int:
    return list(SITES).index(KINDS[finding.kind].sites[0])


def _noun(kind: str, *, many: bool = False) -> str:
    noun = KINDS[kind].english
    if not many or KINDS[kind].number != "counted":
        return noun
    return _PLURALS.get(noun) or (f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s")


def _article(noun: str, kind: str, *, many: bool) -> str:
    if many or KINDS[kind].number != "counted":
        return ""
    return "an " if noun[0] in "aeiou" else "a "


def _where(finding: Finding) -> str:
    """With the space before it: " in the left lower lung zone"; nothing where nothing is told."""
    if finding.site is None or _is_usual(finding):
        return ""
    site = "eye" if finding.site == "retina" else SITES[finding.site].english
    if finding.site in _ON_A_SIDE:
        return {"left": " on the left", "right": " on the right", "both": " on both sides", None: ""}[finding.side]
    if finding.side is None:
        return f" in the {site}"
    return f" in both {site}s" if finding.side == "both" else f" in the {finding.side} {site}"


def _adjectives(finding: Finding) -> str:
    """ "left lower lung zone", to stand before the noun."""
    if finding.site is None or _is_usual(finding):
        return ""
    sides: dict[Side | None, str] = {"left": "left", "right": "right", "both": "bilateral", None: ""}
    site = SITES[finding.site].english
    if finding.site == "retina":
        site = "eye" if finding.side in ("left", "right") else ""
    elif finding.site in _ON_A_SIDE or KINDS[finding.kind].english.startswith("pulmonary"):
        site = ""  # no "left lung pulmonary edema"
    return f"{sides[finding.side]} {site}".strip()


def _is_usual(finding: Finding) -> bool:
    """Its place tells nothing that its name does not: "cardiomegaly"."""
    return finding.side is None and finding.site == KINDS[finding.kind].sites[0]


def _size(measurements: Sequence[Measurement]) -> str:
    told = [_SIZES[m.name][0].format(f"{number(m.value)} {_SIZES[m.name][1]}") for m in measurements]
    return f", {' and '.join(told)}" if told else ""


def _list(nouns: Sequence[str], word: str) -> str:
    if len(nouns) < 3:
        return f" {word} ".join(nouns)
    return f"{', '.join(nouns[:-1])}, {word} {nouns[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
