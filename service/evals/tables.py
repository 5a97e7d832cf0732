"""Tables of evaluation runs: a run, its suites, metrics and examples; the pinned baseline. Ignores comparison."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Double, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from service.storage import Base
from verticals.contract import Time


class EvalRun(Base):
    """One evaluation run. `status` stays "running" when the process died, until a later one goes on with it.

    Only completed runs are compared with. `plan` is what must be equal for going on: code, models, domains.
    """

    __tablename__ = "eval_runs"
    __table_args__ = (Index("ix_eval_runs_tenant_started_at", "tenant", "started_at"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))  # running, completed
    started_at: Mapped[datetime] = mapped_column(Time)
    finished_at: Mapped[datetime | None] = mapped_column(Time)
    git_version: Mapped[str | None] = mapped_column(String(80))
    models: Mapped[dict[str, Any]] = mapped_column(JSON)  # model name -> version
    machine: Mapped[dict[str, Any]] = mapped_column(JSON)
    exit_code: Mapped[int | None] = mapped_column(Integer)
    target: Mapped[str | None] = mapped_column(Text)  # the live API that was judged; None: this installation itself
    plan: Mapped[str | None] = mapped_column(String(64))  # sha256


class EvalSuite(Base):
    """How one suite of a run ended. `reason` says why it failed or was skipped."""

    __tablename__ = "eval_suites"
    __table_args__ = (UniqueConstraint("run_id", "domain", "name", name="uq_eval_suites_run_id_domain_name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str] = mapped_column(ForeignKey("eval_runs.id"))
    domain: Mapped[str] = mapped_column(String(64))  # a vertical's name, or "core"
    name: Mapped[str] = mapped_column(String(120))
    dataset: Mapped[str] = mapped_column(Text)
    split: Mapped[str] = mapped_column(Text)
    solver: Mapped[str] = mapped_column(Text)
    scorer: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))  # ok, skipped, failed
    reason: Mapped[str | None] = mapped_column(Text)
    duration_s: Mapped[float] = mapped_column(Double)
    tokens: Mapped[int | None] = mapped_column(Integer)  # this and the next two: None where it did not run
    cpu_s: Mapped[float | None] = mapped_column(Double)
    peak_mb: Mapped[float | None] = mapped_column(Double)
    metrics: Mapped[list[EvalMetric]] = relationship(order_by="EvalMetric.id")


class EvalMetric(Base):
    """One figure with its 95 % interval."""

    __tablename__ = "eval_metrics"
    __table_args__ = (UniqueConstraint("suite_id", "name", name="uq_eval_metrics_suite_id_name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    suite_id: Mapped[int] = mapped_column(ForeignKey("eval_suites.id"))
    name: Mapped[str] = mapped_column(String(120))
    value: Mapped[float] = mapped_column(Double)
    low: Mapped[float] = mapped_column(Double)
    high: Mapped[float] = mapped_column(Double)
    n: Mapped[int] = mapped_column(Integer)
    higher_is_better: Mapped[bool] = mapped_column(Boolean)
    baseline: Mapped[str | None] = mapped_column(Text)
    baseline_value: Mapped[float | None] = mapped_column(Double)


class EvalExample(Base):
    """How one case was scored. Written before its suite has ended, so that a stopped run goes on after it."""

    __tablename__ = "eval_examples"

    run_id: Mapped[str] = mapped_column(ForeignKey("eval_runs.id"), primary_key=True)
    domain: Mapped[str] = mapped_column(String(64), primary_key=True)
    suite: Mapped[str] = mapped_column(String(120), primary_key=True)
    case_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(Integer)  # in the order of scoring
    scores: Mapped[dict[str, Any]] = mapped_column(JSON)
    slices: Mapped[dict[str, Any]] = mapped_column(JSON)
    shown: Mapped[str] = mapped_column(Text)  # personal data is masked
    tokens: Mapped[int] = mapped_column(Integer)


class EvalBaseline(Base):
    """The run that a tenant's later ones are held against, besides the last."""

    __tablename__ = "eval_baselines"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("eval_runs.id"))
    pinned_at: Mapped[datetime] = mapped_column(Time)
