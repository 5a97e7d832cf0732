"""What was found in texts that were judged, kept by their content, so that none is judged twice. Ignores the judging.

A verdict belongs to the judge that gave it: another version of rules or weights reads the text again. No text is kept,
only its hash: what a deleted document said is not kept alive here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import JSON, String, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from retrieval.catalog import batches
from verticals.contract import Base

Injected = tuple[int, ...]  # indices of the sentences that speak to the assistant, ascending


class VerdictRow(Base):
    """One text's verdict: the newest judge's."""

    __tablename__ = "support_text_verdicts"

    tenant: Mapped[str] = mapped_column(String(200), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    judge: Mapped[str] = mapped_column(String(200))
    injected: Mapped[list[int]] = mapped_column(JSON)


class StoredVerdicts:
    """Verdicts of one judge in SQL.

    Args:
        sessions: Sessions on a database that has the table above.
        judge: Whose verdicts; changes whenever the judge does.
    """

    def __init__(self, sessions: sessionmaker[Session], judge: str) -> None:
        self._sessions, self._judge = sessions, judge

    def find(self, texts: Sequence[str], *, tenant: str) -> dict[str, Injected]:
        """Those of the texts that were judged, with their verdicts."""
        by_hash = {_sha256(text): text for text in texts}
        mine = select(VerdictRow.sha256, VerdictRow.injected).where(
            VerdictRow.tenant == tenant, VerdictRow.judge == self._judge
        )
        with self._sessions() as session:
            return {
                by_hash[key]: tuple(injected)
                for batch in batches(list(by_hash))
                for key, injected in session.execute(mine.where(VerdictRow.sha256.in_(batch)))
            }

    def keep(self, verdicts: Mapping[str, Injected], *, tenant: str) -> None:
        """Remember the verdict on each text; an earlier judge's is replaced."""
        rows = [
            {"tenant": tenant, "sha256": _sha256(text), "judge": self._judge, "injected": list(injected)}
            for text, injected in verdicts.items()
        ]
        for batch in batches(rows):
            old = delete(VerdictRow).where(VerdictRow.tenant == tenant)
            try:
                with self._sessions.begin() as session:
                    session.execute(old.where(VerdictRow.sha256.in_([row["sha256"] for row in batch])))
                    session.execute(insert(VerdictRow), batch)
            except IntegrityError:  # another process judged one of them at the same moment: the next look finds it
                continue


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
