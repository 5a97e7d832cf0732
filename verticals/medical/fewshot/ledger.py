"""The ledger of few-shot findings: versions and switches, a row each, never changed. Ignores models.

What is in use is what the newest switch says. A row's number is taken once a finding: of two people who switch at the
same time, one is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import JSON, CheckConstraint, String, Text, event, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from verticals.contract import Base, Conflict, NotFound, Time
from verticals.medical.fewshot.schemas import FewShotFinding, FewShotSwitch, FewShotVersion, Step, TrainedVersion

_Id = String(64)


class MedicalFewShot(Base):
    """One training or switch of a tenant's finding."""

    __tablename__ = "medical_few_shot"
    __table_args__ = (CheckConstraint("step IN ('train', 'enable', 'disable', 'roll back')", name="ck_few_shot_step"),)

    tenant: Mapped[str] = mapped_column(_Id, primary_key=True)
    finding: Mapped[str] = mapped_column(_Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1
    step: Mapped[str] = mapped_column(String(16))
    version: Mapped[str | None] = mapped_column(String(12))  # trained; or in use after a switch, null for none
    name: Mapped[str] = mapped_column(_Id)  # who: of a training, the key
    reason: Mapped[str] = mapped_column(Text)
    about: Mapped[dict[str, Any] | None] = mapped_column(JSON)  # of a training: a `FewShotVersion`
    at: Mapped[datetime] = mapped_column(Time)


@event.listens_for(MedicalFewShot, "before_update")
@event.listens_for(MedicalFewShot, "before_delete")
def _refuse_change(_mapper: object, _connection: object, row: MedicalFewShot) -> None:
    raise Conflict("a row of the ledger is immutable", field="finding", value=row.number)


def findings(session: Session, tenant: str) -> list[FewShotFinding]:
    """All of the tenant's findings, by name."""
    row = MedicalFewShot
    rows = session.execute(select(row).where(row.tenant == tenant).order_by(row.finding, row.number)).scalars()
    return [_finding(name, list(mine)) for name, mine in groupby(rows, key=lambda row: row.finding)]


def get_finding(session: Session, tenant: str, finding: str) -> FewShotFinding:
    """One of them.

    Raises:
        NotFound: the tenant has none of that name.
    """
    if rows := _rows(session, tenant, finding):
        return _finding(finding, rows)
    raise NotFound("no such few-shot finding has been trained", field="finding", remedy="Train it first.")


def add_versions(
    session: Session, tenant: str, finding: str, versions: Iterable[FewShotVersion], *, actor: str
) -> None:
    """Append what was trained; a version that is there already is not listed twice."""
    rows = _rows(session, tenant, finding)
    known = {row.version for row in rows if row.step == "train"}
    new = [one for one in versions if one.version not in known]
    for number, one in enumerate(new, start=len(rows) + 1):
        about = one.model_dump(mode="json")
        _append(session, tenant, finding, number, "train", one.version, name=actor, reason="", about=about)


def switch(
    session: Session, tenant: str, found: FewShotFinding, step: Step, version: str | None, *, name: str, reason: str
) -> None:
    """Append a switch to what was found, after which `version` is in use.

    Raises:
        Conflict: somebody else did at the same time.
    """
    number = len(found.versions) + len(found.switches) + 1
    _append(session, tenant, found.finding, number, step, version, name=name, reason=reason)


def before_last_switch(found: FewShotFinding) -> str | None:
    """The version that the last switch replaced; None: none was in use.

    Raises:
        Conflict: nothing was switched, or the last switch was a rolling back.
    """
    if not found.switches or found.switches[0].step == "roll back":
        raise Conflict(
            "there is no switch to take back", field="finding", remedy="Enable the version that shall be in use."
        )
    return found.switches[1].version if len(found.switches) > 1 else None


def _append(
    session: Session, tenant: str, finding: str, number: int, step: Step, version: str | None, *, name: str,
    reason: str, about: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    row = MedicalFewShot(
        tenant=tenant, finding=finding, number=number, step=step, version=version, name=name, reason=reason,
        about=about, at=datetime.now(UTC),
    )  # fmt: skip
    session.add(row)
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(
            "somebody changed the finding at the same time", field="finding", remedy="Look at it again."
        ) from None


def _rows(session: Session, tenant: str, finding: str) -> list[MedicalFewShot]:
    row = MedicalFewShot
    mine = select(row).where(row.tenant == tenant, row.finding == finding)
    return list(session.execute(mine.order_by(row.number)).scalars())


def _finding(name: str, rows: list[MedicalFewShot]) -> FewShotFinding:
    switches = [FewShotSwitch.model_validate(row, from_attributes=True) for row in rows if row.step != "train"]
    enabled = switches[-1].version if switches else None
    versions = [
        TrainedVersion(**row.about, trained_at=row.at, enabled=row.version == enabled)
        for row in rows
        if row.about is not None
    ]
    return FewShotFinding(finding=name, enabled=enabled, versions=versions[::-1], switches=switches[::-1])
