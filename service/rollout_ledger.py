"""The ledger of rollouts: every step of every model, a row each, never changed; and what trials showed.

Steps are of the installation, not of a tenant. A row's number is taken once a model: of two people who step at the same
time, or of two processes, one is told. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, CheckConstraint, Double, String, Text, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from service.shadows import Difference
from service.storage import Base
from verticals.contract import Conflict, Time

State = Literal["shadow", "canary", "full", "rolled back"]
ON_TRIAL: tuple[State, ...] = ("shadow", "canary")
MAX_DIFFERENCES = 200  # kept of one trial


class ModelRollout(Base):
    """One step. `version` is the one on trial, or that serves from then on; `previous` served until then."""

    __tablename__ = "model_rollouts"
    __table_args__ = (CheckConstraint("state IN ('shadow', 'canary', 'full', 'rolled back')", name="ck_rollout_state"),)

    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)  # from 1
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[str] = mapped_column(String(128))
    previous: Mapped[str] = mapped_column(String(128))
    share: Mapped[float] = mapped_column(Double)  # of subjects, 0 to 1, that the version on trial answers
    tenant: Mapped[str] = mapped_column(String(64))  # in whose audit trail the step is
    person: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Time)


class ModelTrialCount(Base):
    """How often something was seen while a step held; see `service.shadows.What`."""

    __tablename__ = "model_trial_counts"

    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(String(16), primary_key=True)
    count: Mapped[int]


class ModelTrialDifference(Base):
    """A request on which the version in shadow did not say what the serving one said."""

    __tablename__ = "model_trial_differences"

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(String(128), index=True)
    number: Mapped[int]
    request_id: Mapped[str] = mapped_column(String(128))
    values: Mapped[dict[str, Any]] = mapped_column(JSON)  # name -> [old, new]


@dataclass(frozen=True)
class Step:
    """A row of the ledger."""

    model: str
    number: int
    state: State
    version: str
    previous: str
    share: float
    tenant: str
    person: str
    reason: str
    at: datetime

    @property
    def is_on_trial(self) -> bool:
        """Whether its version is beside the serving one."""
        return self.state in ON_TRIAL


def newest_steps(session: Session) -> dict[str, Step]:
    """The step that holds, by model."""
    last = select(ModelRollout.model, func.max(ModelRollout.number)).group_by(ModelRollout.model).subquery()
    query = select(ModelRollout).join(last, (ModelRollout.model == last.c[0]) & (ModelRollout.number == last.c[1]))
    return {row.model: _step(row) for row in session.scalars(query)}


def steps_of(session: Session, model: str, *, limit: int) -> list[Step]:
    """A model's steps, newest first."""
    mine = select(ModelRollout).where(ModelRollout.model == model)
    return [_step(row) for row in session.scalars(mine.order_by(ModelRollout.number.desc()).limit(limit))]


def append(session: Session, step: Step) -> None:
    """Take the step's number.

    Raises:
        Conflict: somebody else took it.
    """
    session.add(ModelRollout(**asdict(step)))
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(
            "somebody took a step with this model at the same time",
            field="model",
            value=step.model,
            remedy="Look again.",
        ) from None


def add_counts(session: Session, step: tuple[str, int], counts: Mapping[Any, int], found: Iterable[Difference]) -> None:
    """Add what a process saw while a step, (model, number), held."""
    row = ModelTrialCount
    model, number = step
    for what, count in sorted(counts.items()):  # in one order for all processes: none waits for another in a circle
        mine = (row.model == model, row.number == number, row.what == what)
        added = update(row).where(*mine).values(count=row.count + count).returning(row.count)
        if not session.execute(added).all():
            try:
                with session.begin_nested():
                    session.add(row(model=model, number=number, what=what, count=count))
            except IntegrityError:  # another process saw it first
                session.execute(added)
    kept = session.scalar(select(func.count()).where(*_differences(step))) or 0
    for one in [*found][: max(0, MAX_DIFFERENCES - kept)]:
        values = {name: list(pair) for name, pair in one.values.items()}
        session.add(ModelTrialDifference(model=model, number=number, request_id=one.request_id, values=values))


def counts_of(session: Session, step: tuple[str, int]) -> dict[str, int]:
    """What all processes saw while a step held."""
    row = ModelTrialCount
    found = session.execute(select(row.what, row.count).where(row.model == step[0], row.number == step[1])).all()
    return dict(found)


def differences_of(session: Session, step: tuple[str, int], *, limit: int) -> list[Difference]:
    """Requests on which the versions differed, newest first."""
    query = select(ModelTrialDifference).where(*_differences(step)).order_by(ModelTrialDifference.id.desc())
    return [Difference(row.request_id, row.values) for row in session.scalars(query.limit(limit))]


def _differences(step: tuple[str, int]) -> tuple[Any, Any]:
    return ModelTrialDifference.model == step[0], ModelTrialDifference.number == step[1]


def _step(row: ModelRollout) -> Step:
    return Step(**{name: getattr(row, name) for name in Step.__dataclass_fields__})
