"""Which sentence says which finding: a function of text and evidence alone. Ignores who wrote either.

API, dashboard and every export take a report's coded findings from here, so what they code is what the text says: a
finding that no sentence states is in none of them, and a sentence that differs from the evidence states no finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement
from verticals.medical.schemas import LinkedSentence, Section, Sections
from verticals.medical.text.reader import Mention, Size, read
from verticals.medical.text.sentences import Sentence, split
from verticals.medical.vocabulary import KINDS, codes_of


def linked(sections: Sections, evidence: EvidenceGraph) -> tuple[LinkedSentence, ...]:
    """Every sentence of findings and impression, in order, with the findings that it states."""
    listed = []
    for section, sentence, claims in matched(sections, evidence):
        found = {f.finding_id: f for _, findings in claims for f in findings}
        listed.append(
            LinkedSentence(
                section=section,
                start=sentence.start,
                end=sentence.end,
                finding_ids=tuple(found),
                regions=tuple(region for f in found.values() for region in f.regions),
                codes=tuple(dict.fromkeys(code for f in found.values() for code in codes_of(f.kind))),
            )
        )
    return tuple(listed)


def stated(sections: Sections, evidence: EvidenceGraph) -> EvidenceGraph:
    """The part of the evidence that some sentence states, in its own order."""
    ids = {finding_id for sentence in linked(sections, evidence) for finding_id in sentence.finding_ids}
    return EvidenceGraph(findings=tuple(f for f in evidence.findings if f.finding_id in ids))


Claims = list[tuple[Mention, list[Finding]]]


def matched(sections: Sections, evidence: EvidenceGraph) -> Iterator[tuple[Section, Sentence, Claims]]:
    """Each sentence with its mentions, and the findings that each of them states; none: the evidence differs.

    Two nodules that are alike but for nothing are told apart by order: a section's second "nodule" is the second.
    """
    for section in get_args(Section):
        used: set[str] = set()
        for sentence in split(getattr(sections, section)):
            claims: Claims = []
            for mention in read(sentence.text):
                findings = _findings(mention, evidence, used)
                used |= {f.finding_id for f in findings}
                claims.append((mention, findings))
            yield section, sentence, claims


def _findings(mention: Mention, evidence: EvidenceGraph, used: set[str]) -> list[Finding]:
    alike = [f for f in evidence.findings if supports(f, mention)]
    if alike and (mention.presence == "absent" or (mention.is_plural and not mention.sizes)):
        return alike  # a denial is of all that it covers
    if alike:
        return [min(alike, key=lambda f: (f.finding_id in used, _vagueness(f, mention)))]
    if mention.side == "both":  # one on each side
        pair = [f for f in evidence.findings if f.side in ("left", "right") and supports(f, mention, on=f.side)]
        if {f.side for f in pair} == {"left", "right"}:
            return pair
    return []


def supports(finding: Finding, mention: Mention, *, on: str | None = None) -> bool:
    """Whether a finding holds all that a mention says.

    What is there may be told more vaguely than it is known; what is not there may be denied for less than was searched.

    Args:
        on: The side of the mention that counts; None: its own.
    """
    if mention.is_history or (mention.concept, mention.presence) != (finding.kind, finding.presence):
        return False
    side = on or mention.side
    general = KINDS[finding.kind].sites[0]
    if finding.presence == "absent":
        return finding.side in (None, "both", side) and finding.site in (None, general, mention.site)
    if side not in (None, finding.side):
        return False
    if mention.site not in (None, finding.site, general):
        return False
    if mention.site is None and len(mention.sites) > 1:
        return False
    return all(agrees(finding, size) for size in mention.sizes)


def agrees(finding: Finding, size: Size) -> bool:
    """Whether a written size is one of the finding's."""
    return any(rounds_to(m, size) for m in finding.measurements)


def rounds_to(measured: Measurement, size: Size) -> bool:
    """Whether a measurement, rounded to the digits that are written, is the written size."""
    return measured.name == size.name and abs(measured.value - size.value) <= size.half_digit * (1 + 1e-9)


def _vagueness(finding: Finding, mention: Mention) -> int:
    """How much of the finding the mention leaves out."""
    sized = bool(finding.measurements) - bool(mention.sizes)
    return sized + (finding.side != mention.side) + (finding.site not in (mention.site, KINDS[finding.kind].sites[0]))
