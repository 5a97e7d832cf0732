"""Who may read which revision and when it is valid, as arrays: a search filters all of them at once. Ignores SQL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog import RevisionState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER = 2**63 - 1
Acl = tuple[str, ...]


@dataclass(frozen=True)
class Revisions:
    """Slot i is a revision; slot 0 is none, and stands for whatever is gone. Slots never move: new ones come last."""

    ids_R: NDArray[np.int64]  # ascending
    starts_R: NDArray[np.int64]  # valid from, in microseconds since 1970
    ends_R: NDArray[np.int64]  # valid to; not after the start if the revision is gone
    acl_idx_R: NDArray[np.int64]
    acls: tuple[Acl, ...]  # each once; the first is empty

    @classmethod
    def of(cls, states: Sequence[RevisionState]) -> Revisions:
        """States in order of id."""
        none = np.zeros(1, np.int64)
        return cls(none, none, none, none, ((),)).changed((), states)

    @classmethod
    def load(cls, folder: Path) -> Revisions:
        """Read what `save` wrote.

        Raises:
            OSError, ValueError: a file is missing or damaged.
        """
        acls = json.loads((folder / "acls.json").read_text("utf-8"))
        ids_R, starts_R, ends_R, acl_idx_R = np.load(folder / "states.npy", allow_pickle=False)
        return cls(ids_R, starts_R, ends_R, acl_idx_R, tuple(map(tuple, acls)))

    def save(self, folder: Path) -> None:
        """Write an array (npy, no pickle) and JSON into a new folder."""
        folder.mkdir(parents=True)
        (folder / "acls.json").write_text(json.dumps(self.acls, ensure_ascii=False), "utf-8")
        states = np.stack([self.ids_R, self.starts_R, self.ends_R, self.acl_idx_R])
        np.save(folder / "states.npy", states, allow_pickle=False)

    def changed(self, gone: Iterable[int], states: Sequence[RevisionState]) -> Revisions:
        """A copy without what is gone and with these states, in order of id; new ids are higher than all known."""
        numbers = {acl: i for i, acl in enumerate(self.acls)}
        acl_idx = np.array([numbers.setdefault(state.acl, len(numbers)) for state in states], np.int64)
        ids = np.array([state.revision_id for state in states], np.int64)
        num_new = int(np.count_nonzero(ids > self.ids_R[-1]))
        ids_R = np.concatenate([self.ids_R, ids[len(ids) - num_new :]])
        starts_R, ends_R, acl_idx_R = (
            np.concatenate([old, np.zeros(num_new, np.int64)]) for old in (self.starts_R, self.ends_R, self.acl_idx_R)
        )
        changed = Revisions(ids_R, starts_R, ends_R, acl_idx_R, tuple(numbers))
        slots = changed.slots(ids)
        starts_R[slots] = [microseconds(state.valid_from) for state in states]
        ends_R[slots] = [_FOREVER if state.valid_to is None else microseconds(state.valid_to) for state in states]
        acl_idx_R[slots] = acl_idx
        slots = changed.slots(np.fromiter(gone, np.int64))
        ends_R[slots] = starts_R[slots]
        return changed

    def slots(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The slot of each revision; 0 for one that is not known."""
        slots = np.minimum(np.searchsorted(self.ids_R, ids), len(self.ids_R) - 1)
        return np.where(self.ids_R[slots] == ids, slots, 0)

    def others(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The revisions, by id, that are not among `ids`."""
        others = np.ones(len(self.ids_R), bool)
        others[0] = False
        others[self.slots(ids)] = False
        return self.ids_R[others]

    @cached_property
    def groups(self) -> frozenset[str]:
        """Every group that an acl names; no other matters to who sees what."""
        return frozenset(group for acl in self.acls for group in acl)

    def visible(self, groups: Collection[str], moment: int) -> NDArray[np.bool_]:
        """(slots,): whether a reader in `groups` may see it as of a moment, in microseconds since 1970."""
        readable = np.array([not acl or not set(acl).isdisjoint(groups) for acl in self.acls])
        visible_R: NDArray[np.bool_] = (self.starts_R <= moment) & (moment < self.ends_R) & readable[self.acl_idx_R]
        return visible_R

    def unchanged(self, moment: int) -> range:
        """The moments around this one at which the same revisions are valid."""
        edges = np.concatenate([self.starts_R, self.ends_R])
        since, until = edges[edges <= moment].max(initial=-_FOREVER), edges[edges > moment].min(initial=_FOREVER)
        return range(int(since), int(until))

    def stored(self) -> NDArray[np.bool_]:
        """(slots,): whether the revision is still stored."""
        return self.starts_R < self.ends_R


def microseconds(moment: datetime) -> int:
    """Since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
