"""One tenant's indexes at one version: two segments searched as one, filtered by access and time. Ignores SQL.

Main is large, saved and built rarely. What came since is staged in a small segment that each change builds anew. What
went since stays in its segment but is not allowed in any search.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from retrieval import fusion
from retrieval.lexical import Query
from retrieval.revisions import Revisions, microseconds
from retrieval.segment import Segment
from retrieval.vectors import VectorsAway

# Dense, BM25. Customers rarely use an article's words, so the lexical side only lifts what both find and what dense
# misses (model names, codes). Chosen on the dev half of the support questions: python -m benchmarks.retrieval
RANK_WEIGHTS = (1.0, 0.2)
# For questions in a language that the embedder does not read: its ranking is near chance, yet the two together find
# what words alone find. Chosen on the dev half of the Chinese questions; `benchmarks.answerable` measures it.
UNREAD_WEIGHTS = (0.2, 1.0)

MIN_STAGED = 2_000  # passages to compact for, at least, and at least a tenth of main
_MOST_SIGHTS = 32
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StagedPassage:
    """A passage that main does not have, with what a segment is built of."""

    row_id: int
    revision_id: int
    words: list[str]
    vector: bytes


@dataclass(frozen=True)
class _Sight:
    """The rows that some readers see: a mask for each segment, None for all. It holds for all of `moments`."""

    moments: range
    allowed: tuple[NDArray[np.bool_] | None, ...]


@dataclass(frozen=True)
class View:
    """What a search needs, immutable. `change` is the last line of the log that it knows at least."""

    version: str
    change: int
    revisions: Revisions
    main: Segment
    main_slots_N: NDArray[np.int64]  # the revision's slot of each row of main
    staged: tuple[StagedPassage, ...]
    staging: Segment
    _sights: dict[frozenset[str], _Sight] = field(default_factory=dict, compare=False)  # by the reader's groups

    @classmethod
    def of(
        cls,
        version: str,
        change: int,
        revisions: Revisions,
        *,
        main: Segment,
        staged: Iterable[StagedPassage],
        dim: int,
    ) -> View:
        """Take main as it is and stage the rest."""
        staged = tuple(staged)
        slots = revisions.slots(main.revision_ids_N)
        return cls(version, change, revisions, main, slots, staged, _segment(staged, dim))

    def changed(
        self, version: str, change: int, revisions: Revisions, *, staged: Iterable[StagedPassage], dim: int
    ) -> View:
        """The next view: main stays, and so do its slots."""
        staged = tuple(staged)
        staging = self.staging if staged == self.staged else _segment(staged, dim)
        return View(version, change, revisions, self.main, self.main_slots_N, staged, staging)

    def __len__(self) -> int:
        return len(self.main) + len(self.staging)

    @property
    def wants_compaction(self) -> bool:
        """Whether what is staged or gone has grown large beside main."""
        num_gone = np.count_nonzero(~self.revisions.stored()[self.main_slots_N])
        return bool(len(self.staging) + num_gone >= max(MIN_STAGED, len(self.main) // 10))

    def search(
        self,
        query: str,
        query_D: NDArray[np.float32],
        *,
        groups: Collection[str],
        at: datetime,
        depth: int,
        weights: tuple[float, float] = RANK_WEIGHTS,
    ) -> list[tuple[int, float]]:
        """Rank what `groups` may see as of `at`: the `depth` best by cosine and by BM25, joined by their ranks.

        What the caller may not see takes no place in either ranking; that it exists shows in how rare words are held
        to be, nowhere else.

        Returns:
            (row id of the passage, fused score), best first.
        """
        segments = (self.main, self.staging) if len(self.staging) else (self.main,)
        words = Query.over([segment.lexical for segment in segments], query)
        near, worded = [], []
        for segment, allowed in zip(segments, self._sight(groups, microseconds(at)).allowed, strict=False):
            try:
                near.append((segment, *segment.dense.nearest(query_D, k=depth, allowed=allowed)))
            except VectorsAway as error:
                _log.warning("A search went by words alone: %s", error)
                near.append((segment, np.zeros(0, np.int64), np.zeros(0, np.float32)))
            worded.append((segment, *segment.lexical.best(words, k=depth, allowed=allowed)))
        return fusion.reciprocal_rank([_merged(near, depth), _merged(worded, depth)], weights=weights)

    def _sight(self, groups: Collection[str], moment: int) -> _Sight:
        """Kept for the next search of readers in these groups, as long as no revision begins or ends."""
        reader = self.revisions.groups.intersection(groups)
        sight = self._sights.get(reader)
        if sight is None or moment not in sight.moments:
            visible_R = self.revisions.visible(reader, moment)
            slots = self.main_slots_N, self.revisions.slots(self.staging.revision_ids_N)
            masks = (visible_R[slots_N] for slots_N in slots)
            sight = _Sight(self.revisions.unchanged(moment), tuple(None if mask.all() else mask for mask in masks))
            if len(self._sights) >= _MOST_SIGHTS:
                self._sights.clear()
            self._sights[reader] = sight
        return sight


def _merged(parts: Sequence[tuple[Segment, NDArray[np.int64], NDArray[np.float32]]], depth: int) -> list[int]:
    """Row ids of the best scores over all segments; of equal ones the older first."""
    row_ids = np.concatenate([segment.row_ids_N[rows] for segment, rows, _ in parts])
    scores = np.concatenate([scores for *_, scores in parts])
    return [int(row_id) for row_id in row_ids[np.lexsort((row_ids, -scores))][:depth]]


def _segment(staged: Sequence[StagedPassage], dim: int) -> Segment:
    vectors = np.frombuffer(b"".join(p.vector for p in staged), "<f4").reshape(len(staged), dim)
    return Segment.build(
        [p.row_id for p in staged],
        [p.revision_id for p in staged],
        vectors_ND=vectors,
        words=[p.words for p in staged],
    )
