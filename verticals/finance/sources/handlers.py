"""The operations of sources: a text is read into numbers and forgotten, and what a score would read is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from retrieval.chinese import has_chinese
from retrieval.embed import Embedder, MiniLMEmbedder
from retrieval.language import UNKNOWN, detect_language
from retrieval.sentences import split_sentences
from verticals.contract import Context, Decision, InvalidInput
from verticals.finance.simulator import is_synthetic
from verticals.finance.sources import schemas
from verticals.finance.sources.model import SPOKEN, SourceModel
from verticals.finance.sources.names import SOURCES
from verticals.finance.sources.store import SourceStore
from verticals.finance.sources.telling import NO_TERM, tell_parts
from verticals.finance.sources.words import sentence_aspect

if TYPE_CHECKING:
    from verticals.finance.scoring import Models
    from verticals.finance.sources.reading import Reading


class Scoring(Protocol):
    """What serves scores."""

    def serving(self, context: Context) -> Models:
        """The models in force under the tenant's policy in force."""

    def reading(self, context: Context, customer: str | None) -> Reading | None:
        """What a score would read of a customer's sources now."""


class SourceDesk:
    """Texts and the state of sources.

    Args:
        scoring: What a score would read.
        embedder: Gives the embedder that the product uses; asked at each text.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        scoring: Scoring,
        store: SourceStore,
        embedder: Callable[[], Embedder],
    ) -> None:
        self._sessions, self._scoring, self._store, self._embedder = sessions, scoring, store, embedder

    def file_text(self, request: schemas.TextRequest, context: Context) -> schemas.TextResponse:
        """Keep the text's vector, and record that it was done.

        Raises:
            InvalidInput: the text is in a language that the embedder does not read.
        """
        embedder = self._embedder()
        if (language := unread_language(embedder, request.text)) is not None:
            raise InvalidInput(
                f"must be in English, all that {embedder.name.partition('@')[0]} reads",
                field="text",
                value=language,
                remedy="Nothing was filed, and no score uses it. For other languages install the extra `multilingual`, "
                "set TRIVIUM_EMBEDDER=multilingual and train its term with `trivium finance train-sources`.",
            )
        [vector_D] = embedder.embed([request.text]).astype(np.float64)
        with self._sessions.begin() as session:
            evidence = self._store.file(
                session,
                context.tenant,
                request.customer,
                "text",
                vector_D,
                reads=embedder.name,
                aspects=strongest_sentence(request.text, embedder, self._store.model()),
            )
            found = Decision(
                kind="finance.text",
                subject=request.customer,
                input_sha256=hashlib.sha256(request.text.encode()).hexdigest(),
                outcome={"evidence": evidence},
                model_version=embedder.name,
            )
            context.record(found, session=session)
        part = self._parts(context, request.customer)[SOURCES.index("text")]
        if part.state == "missing":  # filed and yet not there: nothing reads this embedder's numbers
            part = part.model_copy(update={"because": NO_TERM.format(reader=embedder.name)})
        return schemas.TextResponse(
            customer=request.customer,
            evidence=evidence,
            reader_version=embedder.name,
            part=part,
            synthetic=is_synthetic(request.customer),
        )

    def sources(self, request: schemas.SourcesRequest, context: Context) -> schemas.SourcesResponse:
        """What a score of the customer would read now."""
        return schemas.SourcesResponse(
            customer=request.customer,
            parts=self._parts(context, request.customer),
            policy_version=self._scoring.serving(context).policy.version,
            synthetic=is_synthetic(request.customer),
        )

    def _parts(self, context: Context, customer: str) -> list[schemas.SourcePart]:
        reading = self._scoring.reading(context, customer)
        assert reading is not None, "a customer was named"
        return tell_parts(reading, factor=self._scoring.serving(context).scorecard.scaling.factor)


def unread_language(embedder: Embedder, text: str) -> str | None:
    """ISO 639-1 code of a text's language if the embedder does not read it; None if it does.

    A text without any hold counts as read: of 4,000 English questions one was taken for another language.
    """
    if not isinstance(embedder, MiniLMEmbedder):
        return None
    if has_chinese(text):
        return "zh"
    language = detect_language(text)
    return None if language in ("en", UNKNOWN) else language


def strongest_sentence(text: str, embedder: Embedder, model: SourceModel | None) -> tuple[str, ...]:
    """Which sentence, read alone, raises the risk most, as an aspect; empty for a single one, or if none does."""
    head = model.head("text", embedder.name) if model else None
    sentences = [sentence.text for sentence in split_sentences(text)]
    if head is None or len(sentences) < 2:
        return ()
    terms = [head.bounded(vector_D.astype(np.float64)) for vector_D in embedder.embed(sentences)]
    place = int(np.argmax(terms))
    return (sentence_aspect(place + 1, len(sentences)),) if terms[place] >= SPOKEN else ()
