"""What a policy would have done to applicants whose outcome is known: approvals, losses, profit, the swap set.

Nobody reacts to a policy here, and whoever was never granted credit is not in the sample. Ignores where samples and
policies come from. Shape: N applicants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import wilson_interval
from verticals.finance import metrics
from verticals.finance.policy_schemas import CutOff, Estimate, PolicyOutcome, SwapCell, SwapSet
from verticals.finance.schemas import Decision, Policy

Array = NDArray[np.float64]
Z = 1.959964
STEP = 10  # points between cut-offs of the curve
NOTHING = Estimate(value=None, low=None, high=None)


@dataclass(frozen=True)
class Outcomes:
    """Applicants with outcomes and what credit to each would have earned.

    `points` (N,) rounded as the policy reads them; `default` (N,) 1 bad; `loss`, `profit` (N,) if approved.
    """

    points: NDArray[np.int64]
    default: Array
    loss: Array
    profit: Array


def outcomes(points: Array, default: Array, amount: Array, *, loss_given_default: float, margin: float) -> Outcomes:
    """A bad credit loses its share of the amount, a good one earns the margin."""
    loss = default * loss_given_default * amount
    return Outcomes(np.rint(points).astype(np.int64), default, loss, (1 - default) * margin * amount - loss)


def curve(sample: Outcomes, *, extra: Iterable[int] = ()) -> list[CutOff]:
    """Every `STEP` points over the sample's range, and at the cut-offs in `extra`."""
    low, high = int(sample.points.min()) // STEP * STEP, int(sample.points.max()) + STEP
    found = []
    for cut in sorted({*range(low, high + 1, STEP), *extra}):
        approved = sample.points >= cut
        found.append(
            CutOff(
                approve_at=cut,
                approval_rate=_rate(approved),
                default_rate=_default_rate(sample, approved),
                loss=_mean(approved * sample.loss),
                profit=_mean(approved * sample.profit),
            )
        )
    return found


def outcome(sample: Outcomes, decision: NDArray[np.object_], policy: Policy) -> PolicyOutcome:
    """What one policy does; `decision` (N,) is its decision on each applicant."""
    approved = decision == "approve"
    return PolicyOutcome(
        version=policy.version,
        approve_at=policy.approve_at,
        decline_below=policy.decline_below,
        shares={name: float((decision == name).mean()) for name in get_args(Decision)},
        default_rate=_default_rate(sample, approved),
        loss=_mean(approved * sample.loss),
        profit=_mean(approved * sample.profit),
    )


def swap_set(sample: Outcomes, inside: NDArray[np.bool_]) -> SwapSet:
    """The applicants of `inside`, (N,)."""
    return SwapSet(
        count=int(inside.sum()),
        share=float(inside.mean()),
        default_rate=_default_rate(sample, inside),
        profit=_mean(sample.profit[inside]),
    )


def migration(sample: Outcomes, current: NDArray[np.object_], proposed: NDArray[np.object_]) -> list[SwapCell]:
    """Applicants by both decisions; cells without applicants are left out."""
    cells = []
    for a in get_args(Decision):
        for b in get_args(Decision):
            inside = (current == a) & (proposed == b)
            if inside.any():
                cells.append(
                    SwapCell(
                        current=a,
                        proposed=b,
                        count=int(inside.sum()),
                        share=float(inside.mean()),
                        default_rate=_default_rate(sample, inside),
                    )
                )
    return cells


def profit_change(sample: Outcomes, current: NDArray[np.object_], proposed: NDArray[np.object_]) -> Estimate:
    """Mean profit of the proposed policy less the current one's; the same applicants, so only the swap set counts."""
    gain = (proposed == "approve").astype(float) - (current == "approve").astype(float)
    return _mean(gain * sample.profit)


def _rate(hit: NDArray[np.bool_]) -> Estimate:
    low, high = wilson_interval(int(hit.sum()), len(hit))
    return Estimate(value=float(hit.mean()), low=low, high=high)


def _default_rate(sample: Outcomes, inside: NDArray[np.bool_]) -> Estimate:
    count, defaults = int(inside.sum()), int(sample.default[inside].sum())
    if not count:
        return NOTHING
    low, high = metrics.jeffreys_interval(count, defaults)
    return Estimate(value=defaults / count, low=low, high=high)


def _mean(values: Array) -> Estimate:
    """Mean with a normal interval; without one for fewer than two values."""
    if not len(values):
        return NOTHING
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(value=mean, low=None, high=None)
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Estimate(value=mean, low=mean - half, high=mean + half)
