"""The sentences that can say a finding: each holds its kind, place, side, size and certainty, and nothing else.

Ignores which of them is chosen. The first of each is the template's; a language model may choose among all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Side
from verticals.medical.vocabulary import KINDS, SITES, UNCOUNTED

_PLURALS = {"pneumothorax": "pneumothoraces"}
_SIZES = {
    "diameter": ("measuring {} in diameter", "mm"),
    "area": ("with an area of {}", "mm²"),
    "volume": ("with a volume of {}", "mm³"),
}
# Said of exactly these kinds, when none of them is there.
_NORMAL = {
    "The lungs are clear.": {"opacity", "consolidation", "atelectasis", "edema", "nodule"},
    "Heart size is normal.": {"cardiomegaly"},
}
_SITES_THAT_SAY_NOTHING = ("heart", "thorax")  # the kind's name says it, or it says nothing


@dataclass(frozen=True)
class Statement:
    """Findings that one sentence says, and the ways in which it can."""

    findings: tuple[Finding, ...]
    choices: tuple[str, ...]


def statements(evidence: EvidenceGraph) -> list[Statement]:
    """What a draft says, in the evidence's order: what is there, one by one; then what is not, together.

    Findings that differ in nothing are said once, in the plural.
    """
    there = [f for f in evidence.findings if f.presence != "absent"]
    absent = [f for f in evidence.findings if f.presence == "absent"]
    everywhere = [f for f in absent if _is_everywhere(f)]
    listed = [_present(alike) for alike in _alike(there)]
    listed += [_absent(f) for f in absent if f not in everywhere]
    for _, group in groupby(sorted(everywhere, key=_site_order), key=_site_order):
        listed.append(_none_of(list({f.kind: f for f in group}.values())))
    return listed


def number(value: float) -> str:
    """As a report writes a size: tenths below a hundred, two digits below one."""
    if value < 1:
        return format(Decimal(f"{value:.2g}"), "f")
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _alike(findings: Sequence[Finding]) -> list[list[Finding]]:
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for f in findings:
        site = None if f.side is None and f.site == KINDS[f.kind].sites[0] else f.site  # the usual one tells nothing
        key = (f.finding_id,) if f.measurements else (f.kind, f.presence, site, f.side)
        groups.setdefault(key, []).append(f)
    return list(groups.values())


def _present(alike: Sequence[Finding]) -> Statement:
    first = alike[0]
    many = len(alike) > 1
    noun, where, size = _noun(first.kind, many=many), _where(first), _size(first.measurements)
    described, verb = f"{_adjectives(first)} {noun}".strip(), "is" if noun == KINDS[first.kind].english else "are"
    if first.presence == "uncertain":
        choices = (
            f"Possible {noun}{where}{size}.",
            f"There may be {_article(noun, first.kind, many=many)}{noun}{where}{size}.",
            f"Suspected {described}{size}.",
        )
    else:
        choices = (
            f"{_capital(noun)}{where}{size}.",
            f"There {verb} {_article(noun, first.kind, many=many)}{noun}{where}{size}.",
            f"{_capital(described)}{size}.",
        )
    return Statement(tuple(alike), choices)


def _absent(finding: Finding) -> Statement:
    noun = _noun(finding.kind)
    described = f"{_adjectives(finding)} {noun}".strip()
    choices = f"No {described}.", f"There is no {noun}{_where(finding)}.", f"{_capital(described)} is not seen."
    return Statement((finding,), choices)


def _none_of(findings: Sequence[Finding]) -> Statement:
    nouns = [_noun(f.kind) for f in findings]
    either, both = _list(nouns, "or"), _list(nouns, "and")
    seen = "are not seen" if len(nouns) > 1 else "is not seen"
    kinds = {f.kind for f in findings}
    normal = next((text for text, absent in _NORMAL.items() if absent == kinds), None)
    plain = f"No {either}.", f"There is no {either}.", f"{_capital(both)} {seen}."
    return Statement(tuple(findings), (normal, *plain[:2]) if normal else plain)


def _is_everywhere(finding: Finding) -> bool:
    return finding.side in (None, "both") and finding.site in (None, KINDS[finding.kind].sites[0])


def _site_order(finding: Finding) -> int:
    return list(SITES).index(KINDS[finding.kind].sites[0])


def _noun(kind: str, *, many: bool = False) -> str:
    noun = KINDS[kind].english
    if not many or kind in UNCOUNTED:
        return noun
    return _PLURALS.get(noun) or (f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s")


def _article(noun: str, kind: str, *, many: bool) -> str:
    if many or kind in UNCOUNTED:
        return ""
    return "an " if noun[0] in "aeiou" else "a "


def _where(finding: Finding) -> str:
    """With the space before it: " in the left lower lung zone"; nothing where nothing is told."""
    if finding.site is None or finding.site in _SITES_THAT_SAY_NOTHING:
        return ""
    site = "eye" if finding.site == "retina" else SITES[finding.site].english
    if finding.site == "pleura":
        return {"left": " on the left", "right": " on the right", "both": " on both sides", None: ""}[finding.side]
    if finding.side is None:
        return "" if finding.site == "retina" else f" in the {site}"
    return f" in both {site}s" if finding.side == "both" else f" in the {finding.side} {site}"


def _adjectives(finding: Finding) -> str:
    """ "left lower lung zone", to stand before the noun."""
    if finding.site is None or finding.site in _SITES_THAT_SAY_NOTHING:
        return ""
    sides: dict[Side | None, str] = {"left": "left", "right": "right", "both": "bilateral", None: ""}
    site = {"pleura": "", "retina": "eye" if finding.side in ("left", "right") else ""}.get(
        finding.site, SITES[finding.site].english
    )
    if finding.kind == "edema":
        site = ""  # "left lung pulmonary edema"
    return f"{sides[finding.side]} {site}".strip()


def _size(measurements: Sequence[Measurement]) -> str:
    told = [_SIZES[m.name][0].format(f"{number(m.value)} {_SIZES[m.name][1]}") for m in measurements]
    return f", {' and '.join(told)}" if told else ""


def _list(nouns: Sequence[str], word: str) -> str:
    if len(nouns) < 3:
        return f" {word} ".join(nouns)
    return f"{', '.join(nouns[:-1])}, {word} {nouns[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
