"""The border of the knowledge base: documents come in, and their passages are judged. Ignores file formats.

Judging here is for speed alone: a passage that came in another way is judged when a question first finds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session, sessionmaker

from retrieval.documents import Document, IngestReport
from retrieval.embed import Embedder, MiniLMEmbedder
from retrieval.passages import cut
from retrieval.store import KnowledgeBase
from verticals.contract import Progress
from verticals.support.safety.guard import Guard


def open_guard(embedder: Embedder, sessions: sessionmaker[Session]) -> Guard:
    """The guard that belongs to a knowledge base; its heads read vectors of MiniLM alone, else its rules decide."""
    return Guard(embedder if isinstance(embedder, MiniLMEmbedder) else None, sessions)


def ingest(
    knowledge: KnowledgeBase,
    guard: Guard,
    documents: Iterable[Document],
    *,
    tenant: str,
    on_progress: Progress = lambda what, share: None,
) -> IngestReport:
    """Add or replace documents and judge their passages; see `KnowledgeBase.ingest`."""
    documents = list(documents)
    report = knowledge.ingest(documents, tenant=tenant, on_progress=on_progress)
    left_out = {problem.source for problem in report.skipped} | {same.doc_id for same in report.duplicates}
    passages = [passage for document in documents if document.doc_id not in left_out for passage in cut(document)]
    guard.judge_passages(passages, tenant=tenant, on_progress=on_progress)
    return report
