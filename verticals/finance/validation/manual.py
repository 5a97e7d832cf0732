"""Evidence on the model's use: how often people decide otherwise. Ignores how manual decisions are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from verticals.finance.portfolio.schemas import OverrideRow
from verticals.finance.schemas import Direction
from verticals.finance.validation.rules import RULES
from verticals.finance.validation.schemas import EvidenceRow

NAMES: Mapping[Direction, str] = {
    "low_side": "declined, then approved by a person",
    "high_side": "approved, then declined by a person",
    "referral": "referred, then decided by a person",
}


def override_evidence(rows: Sequence[OverrideRow]) -> list[EvidenceRow]:
    """One row a direction."""
    rule = RULES["overrides"]
    return [
        EvidenceRow(
            section="overrides",
            statistic="override rate",
            of=NAMES[row.direction],
            value=row.rate,
            low=row.low,
            high=row.high,
            n=row.of,
            rule=rule.rule_id,
            rule_version=rule.version,
            source=rule.source,
            grade="information" if row.of else "not measured",
            note=_note(row),
        )
        for row in rows
    ]


def _note(row: OverrideRow) -> str:
    if not row.of:
        return "no such decision in the last twelve months"
    told = [f"{code} {count}" for code, count in row.reasons.items()]
    if row.approved_known:
        told.append(f"of {row.approved_known} granted with known outcome {row.approved_defaults} defaulted")
    return "; ".join(told)
