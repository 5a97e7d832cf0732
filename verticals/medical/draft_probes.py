"""Evidence graphs that no image gave, and drafts with one fault planted. Synthetic; for tests and figures."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from verticals.medical.evidence import EvidenceGraph, Finding, Measurement, Presence, Side
from verticals.medical.vocabulary import KINDS, SITES

MODEL = "synthetic@1"
_MAX_FINDINGS = 6
_OUTSIDE = (
    "Pericardial effusion.",
    "Malignancy in the right lung.",
    "Free air.",
    "Umbilical hernia.",
    "Pacemaker.",
    "Drusen.",
)
_COMPARED = (
    "{}, unchanged.",
    "{}, increased since the prior study.",
    "New {}.",
    "{}, smaller than before.",
    "Compared with the earlier film: {}.",
)


def draw_graph(draw: random.Random) -> EvidenceGraph:
    """One to six findings of one modality: any kind, site, side, size and certainty, several of a kind and alike ones.

    What is absent is absent once, and nothing of its kind is there: else a changed sentence could still be true.
    """
    modality = draw.choice(["CR", "CT", "OP"])
    kinds = [name for name, kind in KINDS.items() if modality in kind.modalities]
    findings = [_draw_finding(draw, f"f{i + 1}", draw.choice(kinds)) for i in range(draw.randint(1, _MAX_FINDINGS))]
    kept: list[Finding] = []
    for finding in findings:
        same = [f for f in kept if f.kind == finding.kind]
        if not any("absent" in (f.presence, finding.presence) for f in same):
            kept.append(finding)
    return EvidenceGraph(findings=tuple(kept))


def _draw_finding(draw: random.Random, finding_id: str, kind: str) -> Finding:
    site = draw.choice([None, *KINDS[kind].sites])
    paired = site is not None and SITES[site].is_paired
    side: Side | None = draw.choice([None, "left", "right", "both"]) if paired else None
    presence: Presence = draw.choice(["present", "absent", "uncertain"])
    measured = presence != "absent" and draw.random() < 0.4
    sizes = (
        Measurement(name="diameter", value=round(draw.uniform(0.5, 150), 4), unit="mm"),
        Measurement(name="volume", value=round(draw.uniform(1, 50_000), 3), unit="mm3"),
    )
    return Finding(
        finding_id=finding_id,
        kind=kind,
        presence=presence,
        site=site,
        side=side,
        measurements=tuple(draw.sample(sizes, draw.randint(1, 2))) if measured else (),
        model=MODEL,
    )


def with_fault(kind: str, sentences: Sequence[str], evidence: EvidenceGraph, draw: random.Random) -> list[str] | None:
    """The draft with one fault of `kind`, a key of `FAULTS`, planted; None: it offers no place for one."""
    changed = list(sentences)
    if kind == "unsupported finding":
        changed.insert(draw.randrange(len(changed) + 1), _unsupported(evidence, draw))
        return changed
    for i in draw.sample(range(len(changed)), len(changed)):
        if (new := FAULTS[kind](changed[i], draw)) not in (None, changed[i]):
            changed[i] = str(new)
            return changed
    return None


def _unsupported(evidence: EvidenceGraph, draw: random.Random) -> str:
    others = [kind.english for name, kind in KINDS.items() if name not in {f.kind for f in evidence.findings}]
    noun = draw.choice(others)
    return draw.choice([*_OUTSIDE, f"Possible {noun}.", f"There is {noun}.", f"No {noun}.", f"{noun.capitalize()}."])


def _other_side(sentence: str, draw: random.Random) -> str | None:
    swaps = {
        "left": "right",
        "right": "left",
        "Left": "Right",
        "Right": "Left",
        "bilateral": "left",
        "Bilateral": "Left",
    }
    return re.sub(r"\b(?:[Ll]eft|[Rr]ight|[Bb]ilateral)\b", lambda m: swaps[m[0]], sentence, count=1)


def _other_site(sentence: str, draw: random.Random) -> str | None:
    swaps = {
        "upper": "lower",
        "Upper": "Lower",
        "lower": "middle",
        "Lower": "Middle",
        "middle": "upper",
        "Middle": "Upper",
    }
    return re.sub(r"\b(?:[Uu]pper|[Ll]ower|[Mm]iddle)\b", lambda m: swaps[m[0]], sentence, count=1)


def _other_size(sentence: str, draw: random.Random) -> str | None:
    return re.sub(r"(\d)(?= mm)", lambda m: str((int(m[1]) + draw.randint(1, 9)) % 10), sentence, count=1)


def _other_negation(sentence: str, draw: random.Random) -> str | None:
    if found := re.fullmatch(r"(?:No|There (?:is|are) no) (.*)", sentence):
        return f"{found[1][:1].upper()}{found[1][1:]}"
    if sentence.endswith("not seen."):
        return sentence.replace("not seen", "seen")
    return None if _is_doubted(sentence) else f"No {_lower(sentence)}"


def _other_certainty(sentence: str, draw: random.Random) -> str | None:
    if _is_doubted(sentence):
        plain = re.sub(r"^(?:Possible|Suspected|There may be(?: an?)?) ", "", sentence)
        return f"{plain[:1].upper()}{plain[1:]}"
    return None if re.search(r"\b[Nn]o\b|not seen", sentence) else f"Possible {_lower(sentence)}"


def _is_doubted(sentence: str) -> bool:
    return sentence.startswith(("Possible", "Suspected", "There may be"))


def _lower(sentence: str) -> str:
    plain = re.sub(r"^There (?:is|are) (?:an? )?", "", sentence)
    return plain[:1].lower() + plain[1:]


def _compared(sentence: str, draw: random.Random) -> str | None:
    form = draw.choice(_COMPARED)
    return form.format(sentence.rstrip(".") if form.startswith("{}") else _lower(sentence).rstrip("."))


def _dropped(sentence: str, draw: random.Random) -> str | None:
    return ""


def _embroidered(sentence: str, draw: random.Random) -> str | None:
    words = draw.choice(["suggesting sarcoidosis", "with spiculated margins", "for which surgery is advised"])
    return f"{sentence.rstrip('.')} {words}."


FAULTS: dict[str, Callable[[str, random.Random], str | None]] = {
    "unsupported finding": _dropped,  # planted between sentences, by `with_fault` itself
    "wrong side": _other_side,
    "wrong site": _other_site,
    "wrong size": _other_size,
    "flipped negation": _other_negation,
    "changed certainty": _other_certainty,
    "prior that does not exist": _compared,
    "finding left out": _dropped,
    "unknown words": _embroidered,
}
