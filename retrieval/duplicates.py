"""Documents that say nearly the same: found by MinHash, then compared word by word. Ignores meaning, and short texts.

Broder 1997, doi:10.1109/SEQUEN.1997.666900.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.chunking import WORD
from retrieval.documents import Document

THRESHOLD = 0.9  # Jaccard similarity of the sets of three neighbouring words
MIN_WORDS = 30  # in a shorter text, one other word is another statement
_SHINGLE = 3
_NUM_HASHES = 64
_KEY = 2  # uint32 before the hashes, from the document's numbers
_WIDTH = _KEY + _NUM_HASHES
_MAX_CANDIDATES = 10  # compared word by word, most similar first: pages of one pattern must not cost their square
_SLACK = 0.15  # four standard errors of the estimate at the threshold
_SEEDS = np.array(
    [int.from_bytes(hashlib.blake2b(bytes([i]), digest_size=8).digest(), "little") for i in range(2 * _NUM_HASHES)],
    np.uint64,
).reshape(2, _NUM_HASHES)


def signature(document: Document) -> bytes:
    """A hash of its numbers and the MinHash of its words, 66 little-endian uint32; empty below `MIN_WORDS`."""
    shingles = _shingles(document)
    if not shingles:
        return b""
    key = hashlib.blake2b(
        " ".join(sorted(_numbers(document))).encode("utf-8", "replace"), digest_size=4 * _KEY
    ).digest()
    hashes = np.array([zlib.crc32(" ".join(shingle).encode("utf-8", "replace")) for shingle in shingles], np.uint64)
    least = [((hashes * (a | np.uint64(1)) + b) >> np.uint64(32)).min() for a, b in _SEEDS.T]  # multiply-shift hashing
    return key + np.array(least, "<u4").tobytes()


def find_duplicates(
    new: Sequence[Document],
    *,
    beside: Sequence[Document],
    stored: Mapping[str, bytes],
    load: Callable[[Sequence[str]], Mapping[str, Document]],
) -> dict[str, str]:
    """Which new documents to leave out, and for which document that is kept.

    A duplicate has nearly the same words, exactly the same numbers (another price or model is another statement) and
    the same groups of readers as the document that is kept. What is stored, or takes the place of what is, is kept
    before what is new; of new documents, the one whose id sorts first.

    Args:
        new: Documents whose ids are not stored.
        beside: Documents of the same ingest that replace stored ones.
        stored: Signatures of all stored documents, by id.
        load: Stored documents by id; those that are gone are missing.
    Returns:
        Id of the document left out -> id of the one kept.
    """
    if not new:
        return {}
    kept = {document.doc_id: document for document in beside}
    signatures = dict(stored) | {document.doc_id: signature(document) for document in beside}
    known = _Signatures(signatures)
    duplicates: dict[str, str] = {}
    for document in sorted(new, key=lambda document: document.doc_id):
        own = signature(document)
        if not own:
            continue
        near = known.near(own)
        kept.update(load([doc_id for doc_id in near if doc_id not in kept]))
        same = next((doc_id for doc_id in near if doc_id in kept and _is_same(document, kept[doc_id])), None)
        if same is None:
            kept[document.doc_id] = document
            known.add(document.doc_id, own)
        else:
            duplicates[document.doc_id] = same
    return duplicates


class _Signatures:
    """Signatures in one array, which grows by doubling."""

    def __init__(self, signatures: Mapping[str, bytes]) -> None:
        signatures = {doc_id: content for doc_id, content in signatures.items() if content}
        self._ids = list(signatures)
        rows = np.frombuffer(b"".join(signatures.values()), "<u4").reshape(-1, _WIDTH)
        self._rows_NW: NDArray[np.uint32] = rows.copy()

    def near(self, own: bytes) -> list[str]:
        """Ids of documents with the same numbers that may be over the threshold, most similar first, ties by id."""
        equal_NW = self._rows_NW[: len(self._ids)] == np.frombuffer(own, "<u4")
        share_N = equal_NW[:, _KEY:].mean(1) * equal_NW[:, :_KEY].all(1)
        found = sorted((-share_N[i], self._ids[i]) for i in np.flatnonzero(share_N >= THRESHOLD - _SLACK))
        return [doc_id for _, doc_id in found[:_MAX_CANDIDATES]]

    def add(self, doc_id: str, own: bytes) -> None:
        if len(self._ids) == len(self._rows_NW):
            self._rows_NW = np.resize(self._rows_NW, (max(16, 2 * len(self._ids)), _WIDTH))
        self._rows_NW[len(self._ids)] = np.frombuffer(own, "<u4")
        self._ids.append(doc_id)


def _is_same(one: Document, other: Document) -> bool:
    if set(one.acl) != set(other.acl) or _numbers(one) != _numbers(other):
        return False
    a, b = _shingles(one), _shingles(other)
    return len(a & b) >= THRESHOLD * len(a | b)


def _numbers(document: Document) -> frozenset[str]:
    words = WORD.findall(f"{document.title}\n{document.text}")
    return frozenset(word for word in words if any(sign.isdigit() for sign in word))


def _shingles(document: Document) -> frozenset[tuple[str, ...]]:
    words = WORD.findall(f"{document.title}\n{document.text}".lower())
    if len(words) < MIN_WORDS:
        return frozenset()
    return frozenset(zip(*(words[i:] for i in range(_SHINGLE)), strict=False))
