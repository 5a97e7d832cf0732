"""The watch: looks at everything every half a minute, judges it, acts and tells. Ignores how each part does it.

Of several processes on one database one watches: its own traffic and model, and everybody's tables.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from core_model.generation import EngineStopped
from core_model.host_memory import available_bytes
from service.evals.tables import EvalRun
from service.kit import Kit
from service.monitoring import EngineStats, Metrics
from service.operations.alarms import AlarmBook, note
from service.operations.drift import Gathered, gather
from service.operations.experts import ExpertWatch, LayerHealth
from service.operations.notes import hold, keep_note, read_note, release
from service.operations.notices import Notices
from service.operations.rules import Rule
from service.operations.signals import Signal, SignalCollector
from service.operations.tables import Alarm
from service.operations.traffic import TrafficWatch
from verticals.contract import Decision

if TYPE_CHECKING:
    from core_model.rounding_error import ServedWeights

DRIFT_EVERY_S = 300.0  # what is counted in tables changes slowly
REBALANCE_EVERY_S = 300.0  # between two steps: the next must see what the last did
STOP_TIMEOUT_S = 5.0
ACTOR = TENANT = "operations"  # in the audit trail, where no key asked
ROUTING = "routing"
_log = structlog.get_logger()


class Watcher:
    """Everything that is watched, and the thread that does it.

    Args:
        kit: What is watched.
        metrics: Where traffic is counted and signals are exported.
        rules: What is judged.
        notices: Who is told.
        clock: Seconds, for how much time passed; the wall clock, which says when, may be set back.
    """

    def __init__(
        self,
        kit: Kit,
        metrics: Metrics,
        rules: Sequence[Rule],
        notices: Notices,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kit, self._metrics, self.notices, self._clock = kit, metrics, notices, clock
        self.book = AlarmBook(kit.sessions, rules, self._evidence)
        self.exported = SignalCollector()
        metrics.registry.register(self.exported)
        self._traffic, self._holder = TrafficWatch(metrics), uuid.uuid4().hex
        self.gathered, self._experts = Gathered(datetime.min.replace(tzinfo=UTC)), ExpertWatch()
        self._weights: tuple[str, ServedWeights] | None = None  # of the version
        self._generated: tuple[float, int] | None = None
        self._is_watching, self._gathered_at, self._rebalanced_at = False, -math.inf, -math.inf
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin, unless the settings say that nothing is watched."""
        self.notices.start()
        if self._kit.settings.watch_s:
            self._thread.start()

    def stop(self) -> None:
        """Finish the look at hand, and let another process watch."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        if self._is_watching:
            release(self._kit.sessions, self._holder)
        self.notices.stop()

    def look(self, now: datetime) -> list[Alarm]:
        """One look; the alarms that opened or were resolved by it."""
        lease_s = 4 * self._kit.settings.watch_s
        watches = hold(self._kit.sessions, self._holder, now=now, for_s=lease_s)
        if watches and not self._is_watching:
            self._resume(now)
        self._is_watching = watches
        signals = [*self._traffic.look(self._clock()), *self._of_machine(), *self._of_core(now)]
        if not watches:
            self.exported.newest, self.exported.firing = tuple(signals), {}  # alarms are told by who watches
            return []
        if self._clock() - self._gathered_at >= DRIFT_EVERY_S:
            self.gathered, self._gathered_at = gather(self._kit, now), self._clock()
        signals += [*self.gathered.signals(), *self._of_nightly(now)]
        changed = self.book.judge(signals, now)
        for alarm in changed:
            _log.warning("alarm", rule=alarm.rule, subject=alarm.subject, state=alarm.state)
        self._act(now, changed)
        self.notices.tell(now)
        with self._kit.sessions() as session:
            firing = [(alarm.rule, alarm.severity) for alarm in self.book.firing(session)]
        names = [(rule.name, rule.severity) for rule in self.book.rules]
        self.exported.newest, self.exported.firing = tuple(signals), {pair: firing.count(pair) for pair in names}
        return changed

    def layers(self) -> dict[int, LayerHealth]:
        """The experts of late, by layer."""
        return self._experts.layers(num_experts_per_tok=self._weights[1].num_experts_per_tok if self._weights else 0)

    def rounding_errors(self) -> Mapping[int, float]:
        """Of the weights that serve, by layer."""
        return self._weights[1].rounding_errors if self._weights else {}

    def _resume(self, now: datetime) -> None:
        self.book.resume(now)
        with self._kit.sessions() as session:
            self._experts = ExpertWatch(read_note(session, ROUTING))

    def _of_machine(self) -> list[Signal]:
        free, own = available_bytes(), self._metrics.resident_bytes()
        found = [Signal("memory_bytes", "process", own)] if own else []
        if free is not None and own:
            found.append(Signal("memory_free_share", "process", free / (free + own)))
        return found

    def _of_core(self, now: datetime) -> list[Signal]:
        """Of the engine in this process, if there is one; nothing while it is being swapped."""
        engine: Any = self._kit.resources.engine
        if not hasattr(engine, "stats"):
            return []
        try:
            stats, version = engine.stats(), engine.model_version
            found = self._of_engine(stats)
            if hasattr(engine, "between_steps"):
                found += self._of_experts(engine, version, now)
        except EngineStopped:
            return []
        return found

    def _of_engine(self, stats: EngineStats) -> list[Signal]:
        found, now_s = [Signal("waiting_requests", "core", stats.waiting)], self._clock()
        before, self._generated = self._generated, (now_s, stats.generated_tokens_total)
        if before and before[0] < now_s and stats.generated_tokens_total >= before[1]:
            made = stats.generated_tokens_total - before[1]
            found.append(Signal("tokens_per_s", "core", made / (now_s - before[0]), made))
        return found

    def _of_experts(self, engine: Any, version: str, now: datetime) -> list[Signal]:
        if self._weights is None or self._weights[0] != version:
            from core_model.rounding_error import describe_weights

            self._weights = version, describe_weights(engine)
        weights, reference = self._weights[1], self._experts.reference
        k = weights.num_experts_per_tok
        if k:
            self._experts.look(engine.expert_counts(), version=version, num_experts_per_tok=k)
        if self._is_watching and self._experts.reference is not None and reference is None:
            with self._kit.sessions.begin() as session:
                keep_note(session, ROUTING, self._experts.reference, now=now)
        worst = max(weights.rounding_errors.values(), default=0.0)
        return [*self._experts.signals(num_experts_per_tok=k), Signal("quantization_error", "core", worst)]

    def _of_nightly(self, now: datetime) -> list[Signal]:
        newest = select(EvalRun.exit_code, EvalRun.finished_at).where(EvalRun.status == "completed")
        with self._kit.sessions() as session:
            found = session.execute(newest.order_by(EvalRun.started_at.desc()).limit(1)).first()
        if found is None or found.finished_at is None:
            return []
        age_h = (now - found.finished_at).total_seconds() / 3600
        return [Signal("nightly_exit_code", "all", found.exit_code), Signal("nightly_age_h", "all", age_h)]

    def _act(self, now: datetime, changed: Sequence[Alarm]) -> None:
        """Do what rules say is done while their alarm is on, and say so in the alarm."""
        acting = {rule.name for rule in self.book.rules if rule.action == "rebalance"}
        if not self._kit.settings.rebalance or not acting:
            return
        with self._kit.sessions() as session:
            on = [alarm.alarm_id for alarm in self.book.firing(session) if alarm.rule in acting]
        done = {alarm.alarm_id: "bias rebalancing is off" for alarm in changed if alarm.rule in acting}
        if on and self._clock() - self._rebalanced_at >= REBALANCE_EVERY_S:
            self._rebalanced_at = self._clock()
            done |= dict.fromkeys(on, self._rebalance())
        with self._kit.sessions.begin() as session:
            for alarm_id, what in done.items():
                note(session.get_one(Alarm, alarm_id), now, what)

    def _rebalance(self) -> str:
        """One step of rebalancing, audited; what came of it, in words."""
        from core_model.rebalance import rebalance_engine

        engine: Any = self._kit.resources.engine
        before = engine.model_version
        try:
            plan = rebalance_engine(engine)
        except (EngineStopped, ValueError) as error:
            return f"bias rebalancing is on, and failed ({type(error).__name__})"
        after = engine.model_version
        if not plan.biases:
            return "bias rebalancing is on, and changed nothing: the router has no biases, or no tokens came"
        digest = hashlib.sha256(f"models.rebalance core {after}".encode()).hexdigest()
        outcome = {"before": before, "after": after}
        who = {"tenant": TENANT, "actor": ACTOR, "request_id": "watch"}
        decision = Decision("models.rebalance", "core", digest, outcome, model_version=after)
        self._kit.audit.record(decision, who=who)
        return f"bias rebalancing is on: {len(plan.biases)} layers changed, model version {after}"

    def _evidence(self, signal: Signal) -> Mapping[str, Any]:
        """What a person needs to judge an alarm: what its signal was made of."""
        if signal.name == "drift":
            for one in self.gathered.tested:
                if f"{one.vertical}/{one.distribution.name}" == signal.subject:
                    return {"distribution": asdict(one.distribution), "p_value": one.p_value}
        if signal.name.startswith("expert_") or signal.name == "routing_drift":
            layers = {str(i): [*layer.counts] for i, layer in self.layers().items()}
            return {"model_version": self._experts.version, "expert_counts": layers}
        return {"weight": signal.weight}

    def _run(self) -> None:
        while not self._stopped.wait(self._kit.settings.watch_s):
            try:
                self.look(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001  (the next look may succeed: the database may be away)
                _log.warning("a look failed", error=type(error).__name__, exc_info=error)
