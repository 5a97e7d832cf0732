"""A customer's memory: written off the hot path, found by likeness and time, shown, exported and forgotten.

Ignores what facts are (`facts.py`) and how they change an answer. Whose memory it is, the caller says with an `Owner`,
which comes from the authenticated key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, CursorResult, Select, Table, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from retrieval.embed import Embedder
from verticals.contract import Base
from verticals.support.memory.facts import BY_NAME, Fact, FactReader, read_facts
from verticals.support.memory.tables import EpisodeRow, FactRow, UnreadTurnRow

# Cosine from which a memory bears on a question; `benchmarks/memory.py` shows what it lets through.
RELATED = 0.30
HALF_LIFE = timedelta(days=180)  # of a memory's weight, down to `_FLOOR`: what a customer said once stays true for long
_FLOOR = 0.5
_BATCH = 100


@dataclass(frozen=True)
class Owner:
    """Whose memory; both ids come from the authenticated key."""

    tenant: str
    customer: str


@dataclass(frozen=True)
class Recollection:
    """A kept statement or past conversation, with its source. `attribute` is "episode" for a conversation."""

    attribute: str
    value: str
    text: str
    session_id: str
    turn: int | None
    valid_from: datetime
    valid_to: datetime | None
    memory_id: str


class CustomerMemory:
    """Facts and episodes of customers.

    Args:
        sessions: Sessions on a database that has the tables of `memory.tables`.
        embedder: Vectors of another embedder are not compared: such memories are shown, but no longer found.
        read: Reads facts from a message.
    """

    def __init__(self, sessions: sessionmaker[Session], embedder: Embedder, *, read: FactReader = read_facts) -> None:
        self._sessions, self._embedder, self._read = sessions, embedder, read

    # --- writing ------------------------------------------------------------------------------------------------------

    def note(self, owner: Owner, *, session: Session, session_id: str, turn: int, text: str, said_at: datetime) -> None:
        """Keep a message for later reading, in the caller's open transaction: nothing is lost if we stop now."""
        noted = {"session_id": session_id, "turn": turn, "text": text, "said_at": said_at, **vars(owner)}
        session.execute(insert(cast(Table, UnreadTurnRow.__table__)), noted)

    def digest(self, owner: Owner | None = None) -> int:
        """Read what was noted, of one customer or of all, the oldest first. Doing it twice changes nothing.

        Returns:
            How many messages were read.
        """
        num_read = 0
        while rows := self._unread(owner):
            for row in rows:
                facts = self._read(row.text)
                vectors = self._embedder.embed([fact.text for fact in facts]) if facts else np.zeros((0, 1), np.float32)
                with self._sessions.begin() as session:
                    # Taking the row away first makes it ours: another reader, or a customer who had all forgotten,
                    # may have been faster.
                    taken = session.execute(delete(UnreadTurnRow).where(*_same_turn(row)))
                    if cast("CursorResult[Any]", taken).rowcount == 0:
                        continue
                    for fact, vector in zip(facts, vectors, strict=True):
                        self._add(session, row, fact, vector)
                num_read += 1
        return num_read

    def close_episode(self, owner: Owner, *, session_id: str, text: str, ended_at: datetime) -> None:
        """Keep what a conversation was about; the same conversation again replaces it."""
        vector = self._embedder.embed([text])[0]
        # Suppressed: it was closed twice at once, or forgotten meanwhile.
        with suppress(IntegrityError, StaleDataError), self._sessions.begin() as session:
            session.merge(
                EpisodeRow(
                    session_id=session_id,
                    text=text,
                    ended_at=ended_at,
                    embedder=self._embedder.name,
                    vector=_pack(vector),
                    **vars(owner),
                )
            )

    def _unread(self, owner: Owner | None) -> Sequence[UnreadTurnRow]:
        query = select(UnreadTurnRow).order_by(UnreadTurnRow.said_at).limit(_BATCH)
        with self._sessions() as session:
            return session.scalars(query if owner is None else query.where(*_owned(UnreadTurnRow, owner))).all()

    def _add(self, session: Session, row: UnreadTurnRow, fact: Fact, vector: NDArray[np.float32]) -> None:
        """Put a fact in its place in time: it ends the one that held then, and holds until the next statement."""
        owner, said_at = Owner(row.tenant, row.customer), row.said_at
        same_key = session.scalars(select(FactRow).where(*_owned(FactRow, owner), FactRow.key == fact.key)).all()
        held = next((old for old in same_key if _holds(old, said_at)), None)
        if held is not None and held.text == fact.text:
            return
        ends = [old.valid_from for old in same_key if old.valid_from > said_at]
        if held is not None:
            ends += [held.valid_to] if held.valid_to else []
            held.valid_to = said_at
        if fact.ended:
            return
        source = f"{row.session_id}\0{row.turn}\0{fact.key}\0{fact.value}"
        session.merge(
            FactRow(
                fact_id=hashlib.sha256(source.encode()).hexdigest()[:32],
                attribute=fact.attribute,
                key=fact.key,
                value=fact.value,
                text=fact.text,
                session_id=row.session_id,
                turn=row.turn,
                valid_from=said_at,
                valid_to=min(ends, default=None),
                embedder=self._embedder.name,
                vector=_pack(vector),
                **vars(owner),
            )
        )

    # --- finding ------------------------------------------------------------------------------------------------------

    def recall(
        self,
        owner: Owner,
        query: str,
        *,
        query_D: NDArray[np.float32] | None = None,
        at: datetime | None = None,
        k: int = 4,
        related: float = RELATED,
    ) -> list[Recollection]:
        """What bears on a question at a time, best first, after the facts that matter to every answer.

        Args:
            query: The customer's words.
            query_D: Their vector, if somebody has computed it.
            at: The moment whose facts hold; now if None.
            k: At most so many, besides those that always matter.
            related: Cosine from which a memory counts, before age lowers its rank.
        """
        at = at or datetime.now(UTC)
        with self._sessions() as session:
            held = [kept for kept in _all(session, owner) if _holds(kept.memory, at)]
        always = [kept.memory for kept in held if _always(kept.memory)]
        candidates = [k for k in held if not _always(k.memory) and k.embedder == self._embedder.name]
        if not candidates:
            return always
        query_D = self._embedder.embed_query(query) if query_D is None else query_D
        cosines = np.stack([np.frombuffer(kept.vector, "<f4") for kept in candidates]) @ query_D
        ages = np.array([(at - kept.memory.valid_from) / HALF_LIFE for kept in candidates])
        scores = cosines * (_FLOOR + (1 - _FLOOR) * 0.5**ages)
        best = [i for i in np.argsort(-scores, kind="stable") if cosines[i] >= related][:k]
        return always + [candidates[i].memory for i in best]

    # --- for the customer ---------------------------------------------------------------------------------------------

    def everything(self, owner: Owner) -> list[Recollection]:
        """All that is kept of a customer, facts that no longer hold too, the oldest first."""
        self.digest(owner)  # what is still unread is theirs too
        with self._sessions() as session:
            memories = [kept.memory for kept in _all(session, owner)]
        return sorted(memories, key=lambda memory: memory.valid_from)

    def forget(self, owner: Owner, *, memory_id: str | None = None) -> int:
        """Remove one memory, or all of a customer's with what was not read yet; how many memories went."""
        facts = delete(FactRow).where(*_owned(FactRow, owner))
        episodes = delete(EpisodeRow).where(*_owned(EpisodeRow, owner))
        if memory_id is not None:
            facts = facts.where(FactRow.fact_id == memory_id)
            episodes = episodes.where(EpisodeRow.session_id == memory_id)
        with self._sessions.begin() as session:
            if memory_id is None:
                session.execute(delete(UnreadTurnRow).where(*_owned(UnreadTurnRow, owner)))
            gone = [cast("CursorResult[Any]", session.execute(one)).rowcount for one in (facts, episodes)]
        return sum(gone)


class _Kept(NamedTuple):
    memory: Recollection
    embedder: str
    vector: bytes


def _all(session: Session, owner: Owner) -> list[_Kept]:
    """Everything that is kept of a customer. By columns, not objects: the first word of an answer waits for it."""
    facts, episodes = session.execute(_FACTS, vars(owner)), session.execute(_EPISODES, vars(owner))
    return [_Kept(Recollection(*row[:8]), row.embedder, row.vector) for row in facts] + [
        _Kept(
            Recollection("episode", row.text, row.text, row.session_id, None, row.ended_at, None, row.session_id),
            row.embedder,
            row.vector,
        )
        for row in episodes
    ]


def _of_owner(table: type[Base], *names: str) -> Select[Any]:
    columns = table.__table__.c
    owned = (columns.tenant == bindparam("tenant"), columns.customer == bindparam("customer"))
    return select(*(columns[name] for name in names)).where(*owned)


_FACTS = _of_owner(
    FactRow,
    *("attribute", "value", "text", "session_id", "turn", "valid_from", "valid_to", "fact_id"),  # of a Recollection
    *("embedder", "vector"),
)
_EPISODES = _of_owner(EpisodeRow, "text", "session_id", "ended_at", "embedder", "vector")


def _always(memory: Recollection) -> bool:
    return memory.attribute != "episode" and BY_NAME[memory.attribute].always


def _owned(table: type[Base], owner: Owner) -> tuple[ColumnElement[bool], ...]:
    columns = table.__table__.c
    return (columns.tenant == owner.tenant, columns.customer == owner.customer)


def _same_turn(row: UnreadTurnRow) -> tuple[ColumnElement[bool], ...]:
    table = UnreadTurnRow
    return (table.tenant == row.tenant, table.session_id == row.session_id, table.turn == row.turn)


def _holds(memory: FactRow | Recollection, at: datetime) -> bool:
    return memory.valid_from <= at and (memory.valid_to is None or at < memory.valid_to)


def _pack(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()
