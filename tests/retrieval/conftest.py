"""A knowledge base on a temporary SQLite file with an embedder small enough to reason about."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from retrieval.store import KnowledgeBase
from tests.databases import migrated_engine


class WordEmbedder:
    """Counts words in hashed buckets: texts that share words are near. Counts the texts that it was given."""

    def __init__(self, name: str = "words", dim: int = 64) -> None:
        self.name, self.dim, self.num_embedded = name, dim, 0

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.num_embedded += len(texts)
        vectors = np.full((len(texts), self.dim), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, zlib.crc32(word.encode()) % self.dim] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.embed([text])[0]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: on a busy machine several wait for each other longer than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def embedder_class() -> type[WordEmbedder]:
    return WordEmbedder


@pytest.fixture
def sessions(tmp_path: Path) -> Iterator[sessionmaker[Session]]:
    engine = migrated_engine(tmp_path)
    yield sessionmaker(engine)
    engine.dispose()


@pytest.fixture
def index_dir(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def open_kb(sessions: sessionmaker[Session], index_dir: Path) -> Callable[..., KnowledgeBase]:
    """Open the same knowledge base again, as another process or a later start would."""

    def open_it(embedder: WordEmbedder | None = None) -> KnowledgeBase:
        return KnowledgeBase(sessions, embedder or WordEmbedder(), index_dir)

    return open_it


@pytest.fixture
def kb(open_kb: Callable[..., KnowledgeBase]) -> KnowledgeBase:
    return open_kb()
