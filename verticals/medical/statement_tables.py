"""What each report's newest version states, one row a kind of finding: worklist and drift count these. Ignores text.

A projection of `medical_report_versions`, written with each version; the versions stay what is true.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from verticals.contract import Base
from verticals.medical.evidence import Finding, Presence
from verticals.medical.linking import stated
from verticals.medical.report import Report


class MedicalStatement(Base):
    """One kind in one study. "" where the model or the text says nothing of it."""

    __tablename__ = "medical_statements"

    study_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    by_model: Mapped[str] = mapped_column(String(16))  # "present", "uncertain", "absent" or ""
    stated: Mapped[str] = mapped_column(String(16))


def replace_statements(session: Session, tenant: str, report: Report) -> None:
    """Put the version's statements in the place of those of the version before it."""
    drafted = report.evidence if report.state == "PRELIMINARY" else report.drafted
    by_model = strongest(drafted.findings)
    said = strongest(stated(report.sections, report.evidence).findings)
    session.execute(delete(MedicalStatement).where(MedicalStatement.study_id == report.study_id))
    session.add_all(
        MedicalStatement(
            study_id=report.study_id,
            kind=kind,
            tenant=tenant,
            by_model=by_model.get(kind, ""),
            stated=said.get(kind, ""),
        )
        for kind in dict.fromkeys((*by_model, *said))
    )


def strongest(findings: Iterable[Finding]) -> dict[str, Presence]:
    """Of each kind the most that is said of it: present, else uncertain, else absent."""
    order: tuple[Presence, ...] = ("present", "uncertain", "absent")
    most: dict[str, Presence] = {}
    for finding in findings:
        before = most.get(finding.kind, "absent")
        most[finding.kind] = min(before, finding.presence, key=order.index)
    return most
