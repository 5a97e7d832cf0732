"""Retrieved text is data: cut out of documents and tool results what speaks to the assistant instead of the customer.

Rules for known wordings, a logistic head on sentence vectors for others. One injected sentence makes its passage
suspect: there, lower bars hold, and what stands between two injected sentences goes with them, since payloads hide
there. Hidden text (comments, invisible characters, images, link titles) is removed always: no customer was to read it.
Ignores lies: a document that says in plain words that returns take 99 years is for the shop to correct.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Hit, Passage
from retrieval.embed import Embedder
from verticals.support.safety.head import open_head
from verticals.support.safety.injection_rules import ADDRESSES_MODEL, COMMANDS
from verticals.support.safety.reveal import reveal, strip_hidden
from verticals.support.safety.verdicts import Injected, StoredVerdicts

HEAD = "injection"
SUSPECT_FACTOR = 0.2  # share of the threshold that is enough in a suspect passage
MAX_GAP = 4  # sentences between two injected ones that go with them
_CACHED = 20_000  # texts; the same few answer most questions
_BATCH = 64  # passages judged at a time
_SENTENCE = re.compile(r".+?(?:[.!?][\"')]*\s+|[。！？]+\s*|\n+|\Z)", re.DOTALL)
_JUDGE = ("injection.py", "injection_rules.py", "reveal.py", "head.py", "weights/injection.json")

Progress = Callable[[str, float], None]  # (what is being done, share done 0-1)


@dataclass(frozen=True)
class Cleaned:
    """A text without its injected sentences, and how many those were."""

    text: str
    removed: int


class InjectionFilter:
    """Cleans what the assistant reads.

    A passage is judged when it is taken in (`judge`), or else when it is first read: whatever way it came in, none is
    believed unjudged. Verdicts are kept, so that reading a judged passage costs no model.

    Args:
        embedder: Of the vectors that the shipped head was fitted to; the rules decide alone if None.
        sessions: Of a database for the verdicts; they last as long as the filter if None.
    Raises:
        ValueError: it is another embedder.
    """

    def __init__(self, embedder: Embedder | None, sessions: sessionmaker[Session] | None = None) -> None:
        self._embedder = embedder
        self._head = open_head(HEAD, embedder)
        self._verdicts = StoredVerdicts(sessions, judge_version(embedder)) if sessions else None
        self._seen: dict[str, Cleaned] = {}

    def clean(self, text: str) -> Cleaned:
        """A tool result, or any other text that is no passage; its verdict is not kept."""
        return _without(text, self._judge([text])[0])

    def judge(
        self, passages: Sequence[Passage | Hit], *, tenant: str, on_progress: Progress = lambda what, share: None
    ) -> None:
        """Judge passages ahead of the questions that will find them; what is known costs no model."""
        for start in range(0, len(passages), _BATCH):
            on_progress("Judging passages", start / len(passages))
            self._clean_all([text for one in passages[start : start + _BATCH] for text in _texts(one)], tenant)
        on_progress("Judging passages", 1.0)

    def clean_passages(self, hits: Sequence[Hit], *, tenant: str) -> list[Hit]:
        """Hits with cleaned texts, in order.

        Left out are those of which most was injected, for the rest is bait, and those with an injected title.
        """
        cleaned = self._clean_all([text for hit in hits for text in _texts(hit)], tenant)
        kept = []
        for hit in hits:
            body, title = (cleaned[text] for text in _texts(hit))
            bait = body.removed and 2 * len(body.text) < len(hit.text)
            if body.text.strip() and not bait and not title.removed:
                kept.append(hit if body.text == hit.text else replace(hit, text=body.text))
        return kept

    def _clean_all(self, texts: Sequence[str], tenant: str) -> dict[str, Cleaned]:
        """Each text cleaned, by the text; those that nobody has judged are judged together."""
        seen = {text: self._seen.get(text) for text in texts}
        new = [text for text, cleaned in seen.items() if cleaned is None]
        if not new:
            return {text: cleaned for text, cleaned in seen.items() if cleaned}
        known = self._verdicts.find(new, tenant=tenant) if self._verdicts else {}
        unknown = [text for text in new if text not in known]
        judged = dict(zip(unknown, self._judge(unknown), strict=True))
        if judged and self._verdicts:
            self._verdicts.keep(judged, tenant=tenant)
        fresh = {text: _without(text, injected) for text, injected in (known | judged).items()}
        if len(self._seen) + len(fresh) > _CACHED:
            self._seen = {}
        self._seen.update(fresh)
        return {text: cleaned for text, cleaned in seen.items() if cleaned} | fresh

    def _judge(self, texts: Sequence[str]) -> list[Injected]:
        """For each text the indices of its injected sentences."""
        sentences = [[reveal(piece).strip() for piece in _SENTENCE.findall(strip_hidden(text))] for text in texts]
        chances = iter(self._chances([sentence for of_one in sentences for sentence in of_one]))
        return [self._injected(of_one, [next(chances) for _ in of_one]) for of_one in sentences]

    def _injected(self, sentences: Sequence[str], chances: Sequence[float]) -> Injected:
        """Which sentences of one text to take out, given the head's probability of each."""
        bar = self._head.threshold if self._head else 1.0
        injected = [
            bool(ADDRESSES_MODEL.search(s)) or chance >= bar for s, chance in zip(sentences, chances, strict=True)
        ]
        if not any(injected):
            return ()
        injected = [
            bad or bool(COMMANDS.search(s)) or chance >= bar * SUSPECT_FACTOR
            for bad, s, chance in zip(injected, sentences, chances, strict=True)
        ]
        marked = [i for i, bad in enumerate(injected) if bad]
        for before, after in pairwise(marked):
            if after - before <= MAX_GAP + 1:
                injected[before:after] = [True] * (after - before)
        return tuple(i for i, bad in enumerate(injected) if bad)

    def _chances(self, sentences: Sequence[str]) -> list[float]:
        """The head's probability of each sentence; 0 for what has no English words."""
        chances = [0.0] * len(sentences)
        readable = [i for i, sentence in enumerate(sentences) if re.search(r"[A-Za-z]{3}", sentence)]
        if self._head and self._embedder and readable:
            vectors_ND = self._embedder.embed([sentences[i] for i in readable])
            for i, chance in zip(readable, self._head.probabilities(vectors_ND), strict=True):
                chances[i] = float(chance)
        return chances


def judge_version(embedder: Embedder | None) -> str:
    """Changes whenever a text could be judged otherwise: hash of the code, rules and weights, and the embedder."""
    here = Path(__file__).parent
    digest = hashlib.sha256(b"\0".join((here / name).read_bytes() for name in _JUDGE)).hexdigest()
    return f"{digest[:16]} {embedder.name if embedder else 'rules'}"


def _texts(passage: Passage | Hit) -> tuple[str, str]:
    """What is judged of a passage: its text, and the titles that are shown with it, as one.

    The head was fitted to sentences: "Limits" or "Report a danger" alone look injected to it.
    """
    return passage.text, f"{passage.title} - {passage.heading}" if passage.heading else passage.title


def _without(text: str, injected: Injected) -> Cleaned:
    visible = strip_hidden(text)
    if not injected:
        return Cleaned(visible, 0)
    kept = "".join(piece for i, piece in enumerate(_SENTENCE.findall(visible)) if i not in injected)
    return Cleaned(re.sub(r"\n{3,}", "\n\n", kept).strip(), len(injected))
