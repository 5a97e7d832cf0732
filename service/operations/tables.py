"""Tables of what was watched: samples of signals, alarms, and what the watch must know after a restart."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Double, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.storage import Base
from verticals.contract import Time


class Sample(Base):
    """All signals of one moment: "signal|subject" -> value."""

    __tablename__ = "operations_samples"

    at: Mapped[datetime] = mapped_column(Time, primary_key=True)
    values: Mapped[dict[str, float]] = mapped_column("signals", JSON)


class Alarm(Base):
    """One episode of one rule on one subject. A pending one that calms down is deleted; a resolved one is history.

    `told` is what receivers know of it: "", "opened" or "resolved".
    """

    __tablename__ = "operations_alarms"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'firing', 'resolved')", name="ck_operations_alarm_state"),
        Index("ix_operations_alarms_since", "since"),
    )

    alarm_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    rule: Mapped[str] = mapped_column(String(64))
    signal: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128))
    severity: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime] = mapped_column(Time)  # first beyond the threshold
    opened_at: Mapped[datetime | None] = mapped_column(Time)
    clear_since: Mapped[datetime | None] = mapped_column(Time)  # back within the lower threshold
    resolved_at: Mapped[datetime | None] = mapped_column(Time)
    value: Mapped[float] = mapped_column(Double)
    peak: Mapped[float] = mapped_column(Double)
    on: Mapped[float] = mapped_column("threshold_on", Double)
    off: Mapped[float] = mapped_column("threshold_off", Double)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)  # as it was when the alarm opened
    actions: Mapped[list[dict[str, Any]]] = mapped_column(JSON)  # what was done by itself, oldest first
    acknowledged_by: Mapped[str | None] = mapped_column(String(128))
    acknowledged_key: Mapped[str | None] = mapped_column(String(64))
    acknowledged_at: Mapped[datetime | None] = mapped_column(Time)
    acknowledged_reason: Mapped[str | None] = mapped_column(Text)
    told: Mapped[str] = mapped_column(String(16))


class WatchNote(Base):
    """What the watch keeps by name: which process watches and until when, the routing reference, the last notice."""

    __tablename__ = "operations_notes"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until: Mapped[datetime] = mapped_column(Time)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
