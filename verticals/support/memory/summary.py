"""A running summary of a conversation in the customer's own words: what fell out of the window, in few sentences.

Ignores the model: a sentence is taken or left, never reworded, so a summary states nothing that was not said
(extractive summaries by centrality: Erkan 2004, arXiv:1109.2128).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from retrieval.grounding import content_stems, quantities
from retrieval.sentences import split_sentences

MAX_CHARS = 600
_REFERENCE = re.compile(r"\b[A-Z]{1,4}-?\d{3,}\b|#\d{3,}")  # order and ticket numbers: what a colleague needs first


def summarize(texts: Sequence[str], *, max_chars: int = MAX_CHARS) -> str:
    """The sentences that say most of what the texts are about, in their order.

    A sentence scores by how often its words occur in all texts, and more if it names an order, an amount or a date;
    a sentence that says nothing new is left out.

    Args:
        texts: The customer's messages, oldest first; an earlier summary may come first.
        max_chars: Upper bound of the summary, at least 1.
    """
    sentences = [one.text for text in texts for one in split_sentences(text) if content_stems(one.text)]
    words = [set(content_stems(sentence)) for sentence in sentences]
    counts = Counter(stem for stems in words for stem in stems)
    scores = [
        sum(counts[stem] for stem in stems) / len(stems) ** 0.5
        + 2.0 * bool(_REFERENCE.search(sentence))
        + 1.0 * bool(quantities(sentence))
        for sentence, stems in zip(sentences, words, strict=True)
    ]
    chosen: list[int] = []
    said: set[str] = set()
    size = 0
    for i in sorted(range(len(sentences)), key=lambda i: -scores[i]):
        if size + len(sentences[i]) + bool(chosen) <= max_chars and not words[i] <= said:
            chosen.append(i)
            said |= words[i]
            size += len(sentences[i]) + (len(chosen) > 1)
    if not chosen:  # nothing, or each sentence alone is too long
        return " ".join(" ".join(texts).split())[:max_chars]
    return " ".join(sentences[i] for i in sorted(chosen))
