"""Holds a report's sentences against its evidence by reading them again. Ignores who wrote them, and how.

A draft with any fault is not shown. In a person's text the same faults are remarks beside the sentence, for a person
may see more than a model: what they state is added to the evidence in their name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from verticals.medical.evidence import READER, UNITS, EvidenceGraph, Finding, Measurement
from verticals.medical.linking import agrees, matched, rounds_to, stated
from verticals.medical.schemas import Fault, FaultKind, Section, Sections
from verticals.medical.text.reader import SIZE, Mention
from verticals.medical.text.sentences import Sentence
from verticals.medical.vocabulary import KINDS, SITES

_PRIOR = re.compile(
    r"\b(?:unchanged|stable|increas\w+|decreas\w+|worsen\w*|improv\w+|enlarging|grown|growing|shrunk|smaller|larger|"
    r"progress\w+|regress\w+|interval|compar\w+|prior|previous\w*|earlier|again|since|persist\w+|resol\w+|new|newly|"
    r"no longer|(?<!degenerative )chang\w+|follow-?up|baseline|developed|developing)\b",
    re.IGNORECASE,
)
_NO_PRIOR = re.compile(
    r"\bno (?:prior|previous|earlier)\b|\bnot available\b|\bcompared with the (?:left|right)\b", re.I
)
_DOUBT = re.compile(r"\b(?:possible|suspected|may)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:no|not)\b", re.IGNORECASE)
_TOKEN = re.compile(r"[^\W_]+(?:[-'][^\W_]+)*")
_SMALL_WORDS = """
    a an the in on of with and or no not is are be may there seen possible suspected both bilateral left right side
    sides eye eyes measuring diameter volume area pneumothoraces masses clear size
    contours normal
"""
# All that a draft may hold beside numbers: the vocabulary's words, in the plural too, and few small ones.
_KNOWN_WORDS = frozenset(_SMALL_WORDS.split()) | {
    form
    for name in (*(kind.english for kind in KINDS.values()), *(site.english for site in SITES.values()))
    for word in _TOKEN.findall(name.lower())
    for form in (word, f"{word}s", f"{word[:-1]}ies")
}


def faults(sections: Sections, evidence: EvidenceGraph, *, has_prior: bool) -> list[Fault]:
    """What findings and impression state and the evidence does not, in order.

    Args:
        has_prior: Whether an earlier study of the patient is at hand; if not, no sentence may compare with one.
    """
    found = []
    for section, sentence, claims in matched(sections, evidence):
        listed = [_difference(m, evidence, sentence) for m, findings in claims if not (findings or m.is_history)]
        if not has_prior and _PRIOR.search(sentence.text) and not _NO_PRIOR.search(sentence.text):
            listed.append(("prior that does not exist", "no earlier study is at hand to compare with"))
        found += [_fault(section, sentence, kind, reason) for kind, reason in listed]
    return found


def remarks(sections: Sections, drafted: EvidenceGraph, *, has_prior: bool) -> list[Fault]:
    """What a person should look at again: where the text differs from what the models found.

    Without a model's finding there is nothing to differ from, and only comparisons with no prior are left.
    """
    found = faults(sections, drafted, has_prior=has_prior)
    return [fault for fault in found if drafted.findings or fault.kind == "prior that does not exist"]


def draft_faults(sentences: Sequence[str], evidence: EvidenceGraph) -> list[Fault]:
    """Why a draft must not be shown; empty: it says the evidence, all of it and nothing else.

    A draft never compares with a prior. Each sentence states a finding, every word is of the vocabulary or one of
    few small ones, and every finding is stated with its place, side and sizes.
    """
    text = Sections(examination="", technique="", comparison="", findings="\n".join(sentences), impression="")
    found = faults(text, evidence, has_prior=False)
    told: dict[str, list[Mention]] = {f.finding_id: [] for f in evidence.findings}
    for section, sentence, claims in matched(text, evidence):
        for mention, findings in claims:
            for f in findings:
                told[f.finding_id].append(mention)
        if not any(findings for _, findings in claims):
            found.append(_fault(section, sentence, "unsupported finding", "states no finding of the evidence"))
        for kind, reason in _idle_cues(sentence.text, [mention for mention, _ in claims]):
            found.append(_fault(section, sentence, kind, reason))
        if unknown := _unknown_words(sentence.text):
            found.append(_fault(section, sentence, "unknown words", f"not of the vocabulary: {', '.join(unknown)}"))
    whole = Sentence(text.findings, 0, len(text.findings))
    for f in evidence.findings:
        if not any(_tells_all(m, f) for m in told[f.finding_id]):
            found.append(_fault("findings", whole, "finding left out", f"{f.finding_id} is not stated in full"))
    return found


def as_edited(sections: Sections, drafted: EvidenceGraph) -> EvidenceGraph:
    """The evidence of a person's text: what they left of the models' findings, and what they state beyond them.

    A model's finding that no sentence states any more is not evidence of this text; the draft's own version keeps it.
    What the vocabulary cannot say stays text.

    Args:
        drafted: What the models found.
    """
    number = max((int(f.finding_id[1:]) for f in drafted.findings), default=0)
    added: list[Finding] = []
    for _, _, claims in matched(sections, drafted):
        for mention, findings in claims:
            if findings or mention.is_history or mention.concept not in KINDS:
                continue
            made = _of_reader(mention, f"f{number + len(added) + 1}")
            if made and all(made.model_copy(update={"finding_id": f.finding_id}) != f for f in added):
                added.append(made)
    return EvidenceGraph(findings=(*stated(sections, drafted).findings, *added))


def _of_reader(mention: Mention, finding_id: str) -> Finding | None:
    usual = KINDS[mention.concept].sites[0]
    site = mention.site if mention.site in KINDS[mention.concept].sites else usual
    sizes = {(s.name, s.value): s for s in mention.sizes} if mention.presence != "absent" else {}
    try:
        return Finding(
            finding_id=finding_id,
            kind=mention.concept,
            presence=mention.presence,
            site=site,
            side=mention.side if SITES[site].is_paired else None,
            measurements=tuple(
                Measurement.model_validate({"name": s.name, "value": s.value, "unit": UNITS[s.name]})
                for s in sizes.values()
            ),
            model=READER,
        )
    except ValidationError:  # "a nodule of 0 mm" stays text
        return None


def _difference(mention: Mention, evidence: EvidenceGraph, sentence: Sentence) -> tuple[FaultKind, str]:
    """Why no finding supports the mention, by the finding that comes nearest."""
    alike = [f for f in evidence.findings if f.kind == mention.concept]
    named = sentence.text[mention.start : mention.end]
    if not alike:
        return "unsupported finding", f"the evidence has no {named!r}"
    differences = min((list(_differences(mention, f)) for f in alike), key=len)
    return differences[0]


def _differences(mention: Mention, finding: Finding) -> Iterator[tuple[FaultKind, str]]:
    if mention.presence != finding.presence:
        certainty = "uncertain" in (mention.presence, finding.presence)
        kind: FaultKind = "changed certainty" if certainty else "flipped negation"
        yield kind, f"{finding.finding_id} is {finding.presence}, not {mention.presence}"
    if mention.side != finding.side:
        yield "wrong side", f"{finding.finding_id} is of side {finding.side or 'not told'}"
    if (
        finding.site not in (mention.site, KINDS[finding.kind].sites[0])
        or (mention.site is None and len(mention.sites) > 1)
        or (mention.site not in (None, finding.site, KINDS[finding.kind].sites[0]))
    ):
        yield "wrong site", f"{finding.finding_id} is of site {finding.site or 'not told'}"
    if not all(agrees(finding, size) for size in mention.sizes):
        yield "wrong size", f"{finding.finding_id} has no such size"


def _tells_all(mention: Mention, finding: Finding) -> bool:
    """Whether a mention, which the finding supports, leaves nothing of it out."""
    usual = KINDS[finding.kind].sites[0]
    if finding.presence == "absent":  # what is denied without a side is denied on both
        sides = {None, finding.side, "both" if finding.side is None else None}
        return mention.side in sides and mention.site in (None, finding.site, usual)
    return (
        mention.side == finding.side
        and finding.site in (None, mention.site, usual)
        and all(any(rounds_to(m, size) for size in mention.sizes) for m in finding.measurements)
    )


def _idle_cues(sentence: str, mentions: Sequence[Mention]) -> Iterator[tuple[FaultKind, str]]:
    """A doubt or a denial that reaches nothing that the sentence names, so that nobody can say what it means."""
    said = {mention.presence for mention in mentions}
    if _DOUBT.search(sentence) and "uncertain" not in said:
        yield "changed certainty", "doubts something that it does not name"
    if _DENIAL.search(sentence) and "absent" not in said:
        yield "flipped negation", "denies something that it does not name"


def _unknown_words(sentence: str) -> list[str]:
    return [word for word in _TOKEN.findall(SIZE.sub(" ", sentence).lower()) if word not in _KNOWN_WORDS]


def _fault(section: Section, sentence: Sentence, kind: FaultKind, reason: str) -> Fault:
    return Fault(section=section, start=sentence.start, end=sentence.end, kind=kind, reason=reason)
