"""Retrieved text is data: cut out of documents and tool results what speaks to the assistant instead of the customer.

Rules for known wordings, a logistic head on sentence vectors for others. One injected sentence makes its passage
suspect: there, lower bars hold, and what stands between two injected sentences goes with them, since payloads hide
there. Hidden text (comments, invisible characters, images, link titles) is removed always: no customer was to read it.
Ignores lies: a document that says in plain words that returns take 99 years is for the shop to correct.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from retrieval.documents import Hit
from retrieval.embed import Embedder
from verticals.support.safety.head import open_head
from verticals.support.safety.injection_rules import ADDRESSES_MODEL, COMMANDS
from verticals.support.safety.reveal import reveal, strip_hidden

HEAD = "injection"
SUSPECT_FACTOR = 0.2  # share of the threshold that is enough in a suspect passage
MAX_GAP = 4  # sentences between two injected ones that go with them
_CACHED = 20_000  # passages; the same few answer most questions
_SENTENCE = re.compile(r".+?(?:[.!?][\"')]*\s+|[。！？]+\s*|\n+|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Cleaned:
    """A text without its injected sentences, and how many those were."""

    text: str
    removed: int


class InjectionFilter:
    """Cleans what the assistant reads.

    Args:
        embedder: Of the vectors that the shipped head was fitted to; the rules decide alone if None.
    Raises:
        ValueError: it is another embedder.
    """

    def __init__(self, embedder: Embedder | None) -> None:
        self._embedder = embedder
        self._head = open_head(HEAD, embedder)
        self._clean: Callable[[str], Cleaned] = lru_cache(_CACHED)(self._clean_now)

    def clean(self, text: str) -> Cleaned:
        """One document, passage or tool result. A passage seen before costs no model."""
        return self._clean(text)

    def clean_passages(self, hits: Sequence[Hit]) -> list[Hit]:
        """Hits with cleaned texts, in order.

        Left out are those of which most was injected, for the rest is bait, and those with an injected title.
        """
        cleaned = []
        for hit in hits:
            body, title = self.clean(hit.text), self.clean(f"{hit.title}\n{hit.heading}")
            bait = body.removed and 2 * len(body.text) < len(hit.text)
            if body.text.strip() and not bait and not title.removed:
                cleaned.append(hit if body.text == hit.text else replace(hit, text=body.text))
        return cleaned

    def _clean_now(self, text: str) -> Cleaned:
        visible = strip_hidden(text)
        pieces = _SENTENCE.findall(visible)
        injected = self._injected([reveal(piece).strip() for piece in pieces])
        kept = "".join(piece for piece, bad in zip(pieces, injected, strict=True) if not bad)
        return Cleaned(re.sub(r"\n{3,}", "\n\n", kept).strip() if any(injected) else visible, sum(injected))

    def _injected(self, sentences: Sequence[str]) -> list[bool]:
        """Which sentences of one passage to take out."""
        chances = self._chances(sentences)
        bar = self._head.threshold if self._head else 1.0
        injected = [
            bool(ADDRESSES_MODEL.search(s)) or chance >= bar for s, chance in zip(sentences, chances, strict=True)
        ]
        if not any(injected):
            return injected
        injected = [
            bad or bool(COMMANDS.search(s)) or chance >= bar * SUSPECT_FACTOR
            for bad, s, chance in zip(injected, sentences, chances, strict=True)
        ]
        marked = [i for i, bad in enumerate(injected) if bad]
        for before, after in pairwise(marked):
            if after - before <= MAX_GAP + 1:
                injected[before:after] = [True] * (after - before)
        return injected

    def _chances(self, sentences: Sequence[str]) -> list[float]:
        """The head's probability of each sentence; 0 for what has no English words."""
        chances = [0.0] * len(sentences)
        readable = [i for i, sentence in enumerate(sentences) if re.search(r"[A-Za-z]{3}", sentence)]
        if self._head and self._embedder and readable:
            vectors_ND = self._embedder.embed([sentences[i] for i in readable])
            for i, chance in zip(readable, self._head.probabilities(vectors_ND), strict=True):
                chances[i] = float(chance)
        return chances
