"""From values to alarms that stay: pending, firing, resolved, kept in SQL. Ignores what is measured and who is told.

calm --beyond the threshold--> pending --for a while--> firing --within the lower one for a while--> resolved
                                  `--no longer beyond--> calm (forgotten)
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, sessionmaker

from service.operations.rules import Limits, Rule
from service.operations.signals import Signal
from service.operations.tables import Alarm, Sample
from verticals.contract import Conflict, NotFound
from verticals.undisturbed import hold

Evidence = Callable[[Signal], Mapping[str, Any]]
KEPT = timedelta(days=4)  # samples: as long as any shipped rule looks back, and a day
History = deque[tuple[float, float]]


class AlarmBook:
    """Judges each look's signals by the rules, and keeps what comes of it.

    What is normal is learned from values while no alarm is on; once a person has acknowledged one, also from its own,
    so that a new level becomes normal in time.

    Args:
        sessions: Of the database.
        rules: What is judged.
        evidence: What is kept with an alarm when it opens, of the signal that opened it.
    """

    def __init__(
        self, sessions: sessionmaker[Session], rules: Sequence[Rule], evidence: Evidence = lambda _: {}
    ) -> None:
        self._sessions, self.rules, self._evidence = sessions, rules, evidence
        self._history: dict[tuple[str, str], History] = {}

    def resume(self, now: datetime) -> None:
        """When the watch begins, or comes back: what was normal before, and the end of alarms whose rule is gone."""
        self._history.clear()
        names = [rule.name for rule in self.rules]
        with self._sessions.begin() as session:
            gone = session.scalars(select(Alarm).where(Alarm.state == "firing", Alarm.rule.not_in(names)))
            for ended in gone:
                ended.state, ended.resolved_at = "resolved", now
                note(ended, now, "the rule is gone")
            session.execute(delete(Alarm).where(Alarm.state == "pending", Alarm.rule.not_in(names)))
            unseen = [*session.scalars(select(Alarm).where(Alarm.acknowledged_at.is_(None)))]
            samples = session.execute(select(Sample.at, Sample.values).order_by(Sample.at)).all()
        for rule in (rule for rule in self.rules if rule.threshold.window_s):
            for at, values in samples:
                for key, value in values.items():
                    name, _, subject = key.partition("|")
                    if name == rule.signal and not any(_was_on(alarm, rule, subject, at) for alarm in unseen):
                        self._learn(rule, subject, at, value)

    def judge(self, signals: Iterable[Signal], now: datetime) -> list[Alarm]:
        """Keep the look's values and apply every rule to them; the alarms that opened or were resolved by it."""
        found = list(signals)
        changed = []
        with self._sessions.begin() as session:
            session.add(Sample(at=now, values={signal.key: signal.value for signal in found}))
            session.execute(delete(Sample).where(Sample.at < now - KEPT))
            alarms = _open(session)
            for rule in self.rules:
                for signal in found:
                    if signal.name == rule.signal and signal.weight >= rule.min_weight:
                        alarm = alarms.get((rule.name, signal.subject))
                        changed.append(self._apply(session, rule, signal, alarm, now))
        return [alarm for alarm in changed if alarm is not None]

    def limits(self, rule: Rule, subject: str) -> Limits | None:
        """Where an alarm would go on and off now; None while it is not known what is normal."""
        return rule.threshold.limits(self._history.get((rule.name, subject), ()), sign=rule.sign)

    def firing(self, session: Session) -> list[Alarm]:
        """The alarms that are on, oldest first."""
        return [*session.scalars(select(Alarm).where(Alarm.state == "firing").order_by(Alarm.opened_at))]

    def acknowledge(self, session: Session, alarm_id: str, *, person: str, key: str, reason: str) -> Alarm:
        """Note that a person has seen an alarm, and why it may stay; once.

        Raises:
            NotFound: there is none of that id.
            Conflict: it was acknowledged, or never opened.
        """
        hold(session, Alarm, Alarm.alarm_id == alarm_id)
        alarm = find(session, alarm_id)
        if alarm.acknowledged_at is not None:
            rule = f"was acknowledged by {alarm.acknowledged_by} already"
            raise Conflict(rule, field="alarm_id", value=alarm_id, remedy="Read it again.")
        alarm.acknowledged_by, alarm.acknowledged_key = person, key
        alarm.acknowledged_at, alarm.acknowledged_reason = datetime.now(UTC), reason
        return alarm

    def _apply(self, session: Session, rule: Rule, signal: Signal, alarm: Alarm | None, now: datetime) -> Alarm | None:
        """One rule on one value; the alarm, if it opened or was resolved."""
        limits = self.limits(rule, signal.subject)
        is_on = limits is not None and rule.is_on(signal.value, limits)
        if (alarm is None and not is_on) or (alarm is not None and alarm.acknowledged_at is not None):
            self._learn(rule, signal.subject, now, signal.value)
        if alarm is None:
            if limits is None or not is_on:
                return None
            alarm = _pending(rule, signal, limits, now)
            session.add(alarm)
        alarm.value = signal.value
        if alarm.state == "pending":
            if limits is not None and not is_on:
                session.delete(alarm)
                return None
            alarm.peak = _further(rule, alarm.peak, signal.value)
            if abs(now - alarm.since) < timedelta(seconds=rule.for_s):  # abs: the wall clock may be set back
                return None
            alarm.state, alarm.opened_at, alarm.evidence = "firing", now, dict(self._evidence(signal))
            return alarm
        alarm.peak = _further(rule, alarm.peak, signal.value)
        if not rule.is_off(signal.value, Limits(alarm.on, alarm.off) if limits is None else limits):
            alarm.clear_since = None
            return None
        alarm.clear_since = alarm.clear_since or now
        if abs(now - alarm.clear_since) < timedelta(seconds=rule.for_s):
            return None
        alarm.state, alarm.resolved_at = "resolved", now
        return alarm

    def _learn(self, rule: Rule, subject: str, at: datetime, value: float) -> None:
        if not rule.threshold.window_s:
            return
        history = self._history.setdefault((rule.name, subject), deque())
        history.append((at.timestamp(), value))
        while history[0][0] < at.timestamp() - rule.threshold.window_s:
            history.popleft()


def find(session: Session, alarm_id: str) -> Alarm:
    """An alarm that opened once.

    Raises:
        NotFound: there is none of that id.
    """
    alarm = session.get(Alarm, alarm_id)
    if alarm is None or alarm.opened_at is None:
        raise NotFound(
            "no such alarm", field="alarm_id", value=alarm_id, remedy="GET /v1/operations/alarms lists them."
        )
    return alarm


def note(alarm: Alarm, now: datetime, done: str) -> None:
    """Add to an alarm what was done by itself."""
    alarm.actions = [*alarm.actions, {"at": now.isoformat(), "done": done}]


def _was_on(alarm: Alarm, rule: Rule, subject: str, at: datetime) -> bool:
    is_its = (alarm.rule, alarm.subject) == (rule.name, subject)
    return is_its and alarm.since <= at and (alarm.resolved_at is None or at <= alarm.resolved_at)


def _open(session: Session) -> dict[tuple[str, str], Alarm]:
    return {
        (alarm.rule, alarm.subject): alarm for alarm in session.scalars(select(Alarm).where(Alarm.state != "resolved"))
    }


def _pending(rule: Rule, signal: Signal, limits: Limits, now: datetime) -> Alarm:
    return Alarm(
        alarm_id=secrets.token_hex(8),
        rule=rule.name,
        signal=signal.name,
        subject=signal.subject,
        severity=rule.severity,
        state="pending",
        since=now,
        value=signal.value,
        peak=signal.value,
        on=limits.on,
        off=limits.off,
        evidence={},
        actions=[],
        told="",
    )


def _further(rule: Rule, one: float, other: float) -> float:
    return max(one, other) if rule.side == "above" else min(one, other)
