"""A chest report to eleven finding labels, as the indexers of the Indiana University collection give them in MeSH.

A label holds where a sentence states it: what is denied, doubted ("may represent pneumonia") or of the past only does
not. Ignores sides, sizes and everything else that a report says.
"""

from __future__ import annotations

from collections.abc import Iterable

from verticals.medical.text.reader import read
from verticals.medical.text.sentences import split

# Label (a concept of `phrases`) -> MeSH headings under which a report of the collection has it.
LABELS: dict[str, tuple[str, ...]] = {
    "atelectasis": ("Pulmonary Atelectasis",),
    "cardiomegaly": ("Cardiomegaly",),
    "consolidation": ("Consolidation",),
    "edema": ("Pulmonary Edema",),
    "effusion": ("Pleural Effusion",),
    "emphysema": ("Emphysema", "Pulmonary Emphysema", "Bullous Emphysema"),
    "fracture": ("Fractures, Bone",),
    "hernia": ("Hernia, Hiatal",),
    "nodule": ("Nodule",),
    "pneumonia": ("Pneumonia",),
    "pneumothorax": ("Pneumothorax",),
}


def labels(texts: Iterable[str]) -> set[str]:
    """Which labels the sections of one report state."""
    mentions = (m for text in texts for sentence in split(text) for m in read(sentence.text))
    return {m.concept for m in mentions if m.concept in LABELS and m.presence == "present" and not m.is_history}


def indexed(mesh: str) -> set[str]:
    """Which labels an indexer gave: "Cardiomegaly/mild;Nodule/lung" has two."""
    headings = {entry.split("/")[0].strip() for entry in mesh.split(";")}
    return {label for label, names in LABELS.items() if headings & set(names)}
