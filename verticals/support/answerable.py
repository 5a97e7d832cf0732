"""Whether the passages that were found answer a question, or it is better to say "I don't know". Ignores what they say.

A cosine means something else in each embedder and language, so each has a threshold of its own. Where the embedder does
not read the question's language, the share of the question's words that one passage holds decides. All were chosen by
`choose_threshold` on dev halves: MiniLM's on knowledge/questions.jsonl (the suite `answerable` reports the test half),
the others as `python -m benchmarks.answerable` does, which reports their test halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from retrieval.chinese import has_chinese
from retrieval.documents import Hit
from retrieval.embed import Embedder, reads
from retrieval.passages import indexed_text
from retrieval.words import tokenize

ANSWERABLE_SIMILARITY = 0.41  # of the best passage, by MiniLM: answers 76 % of 78 answerable, declines 85 % of 20
_SIMILARITY_E5 = {False: 0.846, True: 0.875}  # by whether the question is Chinese
ANSWERABLE_COVERAGE = 0.44

Answerable = Callable[[str, Sequence[Hit]], bool]


def answerable_with(embedder: Embedder) -> Answerable:
    """The rule for hits that an embedder helped to find: (question, hits) to whether they answer it."""

    def is_answerable(question: str, hits: Sequence[Hit]) -> bool:
        if not reads(embedder, question):
            return word_coverage(question, hits) >= ANSWERABLE_COVERAGE
        return best_similarity(hits) >= threshold_of(embedder, question)

    return is_answerable


def threshold_of(embedder: Embedder, question: str) -> float:
    """The best cosine from which a question counts as answerable."""
    if embedder.name.startswith("multilingual-e5-small"):
        return _SIMILARITY_E5[has_chinese(question)]
    return ANSWERABLE_SIMILARITY


def similar_enough(question: str, hits: Sequence[Hit]) -> bool:
    """The rule for English questions and MiniLM."""
    return best_similarity(hits) >= ANSWERABLE_SIMILARITY


def best_similarity(hits: Sequence[Hit]) -> float:
    """The best cosine, -1 without hits."""
    return max((hit.similarity for hit in hits), default=-1.0)


def word_coverage(question: str, hits: Sequence[Hit]) -> float:
    """The largest share of the question's words that one passage holds with its title and heading, 0-1."""
    asked, *held = tokenize([question, *(indexed_text(hit.title, hit.heading, hit.text) for hit in hits)])
    wanted = set(asked)
    return max((len(wanted & set(words)) / len(wanted) for words in held), default=0.0) if wanted else 0.0
