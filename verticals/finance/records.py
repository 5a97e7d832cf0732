"""What a decision leaves behind: a row and an entry of the audit trail, in one transaction. Ignores how it was made.

An application that is scored by itself has its own entry. A file's chunk has one entry for all its rows: the entry
keeps the SHA-256 of their digests, the digests stand beside the rows, and each digest covers one row. So a change to
any row, digest or entry shows, and the row is named (docs/decisions/0016).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from verticals.bulk import insert_rows
from verticals.contract import Context, Decision
from verticals.finance.batch_scores import Scored
from verticals.finance.compiled import Answer
from verticals.finance.fields import CATEGORIES
from verticals.finance.scoring import FINGERPRINTED, Assessment, Models, canonical
from verticals.finance.tables import FinanceBatchChunk, FinanceDecision
from verticals.grouped import RecordAll

ONE, CHUNK = "finance.score", "finance.score_batch"  # kinds of audit entries
DIGEST_BYTES = 8  # who edits a row must find another one with the same 64 bits
_PAIR = 2 * DIGEST_BYTES
_ROWS = FinanceDecision.metadata.tables["finance_decisions"]

Scoring = tuple[Context, Answer]


def keep_decisions(session: Session, models: Models, scorings: Sequence[Scoring], record: RecordAll) -> None:
    """Rows and audit entries of applications that were scored one by one, for any number of callers."""
    now = datetime.now(UTC)
    rows = [
        {
            "tenant": context.tenant,
            "application_id": found.application_id,
            "points": found.points,
            "prob_default": found.prob_default,
            "decision": found.decision,
            "model_version": models.version,
            "policy_version": models.policy.version,
            "created_at": now,
            "chunk": None,
            "sources": None,  # its own audit entry has them
        }
        for context, found in scorings
    ]
    insert_rows(session.connection(), _ROWS, rows)
    record([(context, _audit(models, found)) for context, found in scorings], session)


def outcome_of(models: Models, found: Answer | Assessment) -> dict[str, Any]:
    """What the audit trail keeps of a scoring; equal outcomes are equal to the bit."""
    read = {} if found.reading is None else {"sources": found.reading.record()}
    return read | {
        "points": found.points,
        "prob_default": found.prob_default,
        "decision": found.decision,
        "reasons": list(found.reason_codes),
        "reason_profile": models.profile.version,
        "challenger_prob_default": found.challenger_prob_default,
        "challenger_version": models.challenger_version,
        "moe_prob_default": found.moe_prob_default,
        "moe_version": models.moe_version,
    }


def _audit(models: Models, found: Answer) -> Decision:
    return Decision(
        kind=ONE,
        subject=found.application_id,
        input_sha256=found.input_sha256,
        outcome=outcome_of(models, found),
        model_version=models.version,
        policy_version=models.policy.version,
    )


def keep_chunk(
    sessions: sessionmaker[Session], context: Context, models: Models, scored: Scored, *, chunk: str
) -> None:
    """Rows, digests and one audit entry of a file's chunk, durable on return."""
    now = datetime.now(UTC)
    same = {
        "tenant": context.tenant,
        "model_version": models.version,
        "policy_version": models.policy.version,
        "created_at": now,
        "chunk": chunk,
    }
    columns = (scored.ids, scored.points.tolist(), scored.prob_default.tolist(), scored.decisions)
    rows = [
        same | {"application_id": i, "points": points, "prob_default": prob, "decision": decision}
        for i, points, prob, decision in zip(*columns, strict=True)
    ]
    for row, reading in zip(rows, scored.readings, strict=True):
        row["sources"] = None if reading is None else json.dumps(reading.record(), separators=(",", ":"))
    inputs = [hashlib.sha256(text.encode()).digest() for text in _inputs(scored)]
    common = _common(same)
    digests = b"".join(_digest(row, common) + given[:DIGEST_BYTES] for row, given in zip(rows, inputs, strict=True))
    entry = Decision(
        kind=CHUNK,
        subject=chunk,
        input_sha256=hashlib.sha256(b"".join(inputs)).hexdigest(),
        outcome={
            "rows": len(rows),
            "digests_sha256": hashlib.sha256(digests).hexdigest(),
            "challenger_version": models.challenger_version,
        },
        model_version=models.version,
        policy_version=models.policy.version,
    )
    with sessions.begin() as session:
        insert_rows(session.connection(), _ROWS, rows)
        session.add(FinanceBatchChunk(tenant=context.tenant, chunk=chunk, digests=digests))
        context.record(entry, session=session)


def find_edited(session: Session, tenant: str, entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What was changed since chunks were recorded, in words, one line a record.

    Args:
        session: Of the database.
        tenant: Whose.
        entries: The audit entries of kind `CHUNK`, from a chain that was verified.
    """
    for entry in entries:
        chunk, outcome = entry["subject"], entry["outcome"]
        kept = session.get(FinanceBatchChunk, (tenant, chunk))
        if kept is None or hashlib.sha256(kept.digests).hexdigest() != outcome["digests_sha256"]:
            yield f"{chunk}: its digests were {'deleted' if kept is None else 'changed'}"
            continue
        mine = (FinanceDecision.tenant == tenant, FinanceDecision.chunk == chunk)
        rows = session.execute(select(*_COVERED).where(*mine).order_by(FinanceDecision.id)).mappings().all()
        expected = [kept.digests[at : at + DIGEST_BYTES] for at in range(0, len(kept.digests), _PAIR)]
        found = {_digest(row, _common(row)): row["application_id"] for row in map(dict[str, Any], rows)}
        wanted = set(expected)
        yield from (f"{chunk}: {i}: the record was changed" for d, i in found.items() if d not in wanted)
        missing = sum(digest not in found for digest in expected)
        if len(rows) != outcome["rows"] or missing:
            yield f"{chunk}: {outcome['rows']} records were kept, {len(rows)} are there, {missing} of the first are not"


def records_of_files(session: Session, tenant: str, application_id: str) -> list[dict[str, Any]]:
    """What files left of an application, as audit entries are read; `input_sha256` is the beginning of one.

    They are as sound as `find_edited` finds them.
    """
    row_of = (FinanceDecision.tenant == tenant, FinanceDecision.application_id == application_id)
    found = []
    for row in session.scalars(select(FinanceDecision).where(*row_of, FinanceDecision.chunk.is_not(None))).all():
        mine = (FinanceDecision.tenant == tenant, FinanceDecision.chunk == row.chunk, FinanceDecision.id < row.id)
        at = (session.scalar(select(func.count()).where(*mine)) or 0) * _PAIR + DIGEST_BYTES
        kept = session.get_one(FinanceBatchChunk, (tenant, row.chunk))
        found.append(
            {
                "sequence": row.chunk,
                "at": row.created_at.isoformat(),
                "subject": row.application_id,
                "input_sha256": kept.digests[at : at + DIGEST_BYTES].hex(),
                "outcome": {"points": row.points, "prob_default": row.prob_default, "decision": row.decision}
                | ({} if row.sources is None else {"sources": json.loads(row.sources)}),
                "model_version": row.model_version,
                "policy_version": row.policy_version,
            }
        )
    return found


_COVERED = (
    FinanceDecision.application_id,
    FinanceDecision.points,
    FinanceDecision.prob_default,
    FinanceDecision.decision,
    FinanceDecision.model_version,
    FinanceDecision.policy_version,
    FinanceDecision.created_at,
    FinanceDecision.chunk,
    FinanceDecision.sources,
)


def _common(row: Mapping[str, Any]) -> str:
    """The part of a record that all rows of a chunk share; SQLite drops the zone of a time, which is UTC."""
    at = row["created_at"].replace(tzinfo=None).isoformat()
    return repr((row["model_version"], row["policy_version"], at, row["chunk"]))


def _digest(row: Mapping[str, Any], common: str) -> bytes:
    told = f"{row['application_id']} {row['points']} {row['prob_default']!r} {row['decision']} {common}"
    told += "" if row["sources"] is None else row["sources"]
    return hashlib.sha256(told.encode()).digest()[:DIGEST_BYTES]


def _inputs(scored: Scored) -> list[str]:
    """The canonical JSON of each application, of which `input_sha256` is the fingerprint."""
    parts = []
    for name in FINGERPRINTED:
        if name in CATEGORIES:
            words = [canonical(name, value) for value in (*CATEGORIES[name], None)]
            parts.append([words[place] for place in scored.categories[name].tolist()])
        else:
            parts.append([canonical(name, value) for value in scored.numbers[name].tolist()])
    return ["{" + ",".join(row) + "}" for row in zip(*parts, strict=True)]
