"""Every vertical's distributions, tested alike: the one place that gathers drift. Ignores what they count.

A difference matters if it is no chance and large enough: what is judged is the lower 95 % limit of the population's
PSI, which is 0 for few cases however they fell, and small for many cases that hardly moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy import select

from service.audit_tables import AuditHead
from service.kit import Kit
from service.operations.signals import Signal
from verticals.contract import Metric
from verticals.drift import Drift, compare
from verticals.watched import Distribution, Period

LATE, EARLIER = timedelta(days=7), timedelta(days=28)
MIN_CASES = 50  # on either side
_log = structlog.get_logger()


@dataclass(frozen=True)
class Tested:
    """One distribution and its test; None where there are too few cases."""

    vertical: str
    distribution: Distribution
    drift: Drift | None
    low: float = 0.0  # 95 % interval of the population's PSI
    high: float = 0.0

    @property
    def p_value(self) -> float | None:
        """Of no difference at all; None where it was not tested."""
        return None if self.drift is None or math.isnan(self.drift.confidence) else 1 - self.drift.confidence


@dataclass(frozen=True)
class Gathered:
    """All verticals' distributions, and what people's feedback says."""

    at: datetime
    tested: tuple[Tested, ...] = ()
    feedback: tuple[tuple[str, Metric], ...] = ()

    def signals(self) -> list[Signal]:
        """Drift and feedback by vertical and name."""
        found = [
            Signal(
                "drift",
                f"{one.vertical}/{one.distribution.name}",
                one.low,
                min(one.drift.num_now, one.drift.num_reference),
            )
            for one in self.tested
            if one.drift is not None
        ]
        for vertical, metric in self.feedback:
            found_wanting = 1 - metric.value if metric.higher_is_better else metric.value
            found.append(Signal("feedback", f"{vertical}/{metric.name}", found_wanting, metric.n))
        return found


def gather(kit: Kit, now: datetime) -> Gathered:
    """Ask every vertical; one that fails is left out, and logged."""
    with kit.sessions() as session:
        tenants = tuple(session.scalars(select(AuditHead.tenant)))  # who decided nothing has nothing to watch
    period = Period(tenants, now - LATE - EARLIER, now - LATE, now)
    tested: list[Tested] = []
    feedback: list[tuple[str, Metric]] = []
    for name, vertical in kit.verticals.items():
        if vertical.watch is None:
            continue
        try:
            watch = vertical.watch(kit.resources, period)
        except Exception as error:  # noqa: BLE001  (the others are watched on)
            _log.warning("a vertical cannot be watched", vertical=name, error=type(error).__name__)
            continue
        tested += _test(name, watch.distributions)
        feedback += [(name, metric) for metric in watch.feedback]
    return Gathered(now, tuple(tested), tuple(feedback))


def _test(vertical: str, distributions: Iterable[Distribution]) -> Iterable[Tested]:
    for one in distributions:
        reference_B, now_B = np.array(one.reference, np.int64), np.array(one.now, np.int64)
        filled = (reference_B + now_B) > 0
        if min(reference_B.sum(), now_B.sum()) < MIN_CASES or filled.sum() < 2:
            yield Tested(vertical, one, None)
            continue
        drift = compare(reference_B[filled], now_B[filled])
        yield Tested(vertical, one, drift, *drift.interval())
