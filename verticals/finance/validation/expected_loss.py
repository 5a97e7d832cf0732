"""Expected credit loss: probability of default x loss given default x exposure, staged as IFRS 9 asks.

    ECL = sum over months t of  P(default in month t) * LGD * exposure at the start of t * discount factor of t

Stage 1 sums 12 months, stage 2 the remaining term, stage 3 has defaulted. Ignores scenarios: the probabilities given
are taken as the weighted expectation. Shapes: E exposures, T months.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from verticals.finance.validation.sample import Array

Stage = Literal[1, 2, 3]


@dataclass(frozen=True)
class SicrRule:
    """When credit risk has increased significantly since origination, and when a credit has defaulted.

    The 30 and 90 days are rebuttable presumptions of the standard; the two thresholds on probabilities are
    conventions of ours, both must be passed, and the bank has to set its own.
    """

    version: str = "ifrs-9/trivium-2026-11"
    lifetime_ratio: float = 2.0
    lifetime_rise: float = 0.005
    days_stage_2: int = 30
    days_stage_3: int = 90
    source: str = "IFRS 9, 5.5.9, 5.5.11 (30 days), B5.5.37 (90 days)"


SICR = SicrRule()


@dataclass(frozen=True)
class TermStructure:
    """How the 12-month probability spreads over the term: a constant monthly hazard, times a factor for each year.

    `year_factors`: of the hazard in year 1, 2, ...; the last one holds for all later years. Year 1 is 1, so that the
    first 12 months give the 12-month probability back.
    """

    version: str = "constant-hazard/1"
    year_factors: tuple[float, ...] = (1.0,)

    def marginal(self, prob_default_12m: float, months: int) -> Array:
        """P(default in month t), (months,), given no default today."""
        factor_T = np.array([self.year_factors[min(t // 12, len(self.year_factors) - 1)] for t in range(months)])
        hazard = -np.log1p(-prob_default_12m) / 12
        alive_T = np.exp(-hazard * np.concatenate([[0.0], np.cumsum(factor_T)]))
        return np.asarray(alive_T[:-1] - alive_T[1:])

    def lifetime(self, prob_default_12m: float, months: int) -> float:
        """P(default within `months`)."""
        return float(self.marginal(prob_default_12m, months).sum())


CONSTANT_HAZARD = TermStructure()


@dataclass(frozen=True)
class Exposure:
    """A credit as of the reporting date. `annual_rate` is its effective interest rate; amounts in any one currency."""

    prob_default_12m: float
    prob_default_12m_at_origination: float
    amount: float
    months_remaining: int
    annual_rate: float
    loss_given_default: float
    days_past_due: int
    defaulted: bool = False


@dataclass(frozen=True)
class ExpectedLoss:
    """The stage with why, and the loss at 12 months, over the lifetime, and the one that the stage books."""

    stage: Stage
    because: str
    lifetime_prob_default: float
    loss_12m: float
    loss_lifetime: float
    loss: float


def balance(amount: float, annual_rate: float, months: int) -> Array:
    """Exposure at the start of each remaining month, (months,), of a credit repaid in equal instalments."""
    rate = (1 + annual_rate) ** (1 / 12) - 1
    t = np.arange(months)
    if rate == 0:
        return np.asarray(amount * (1 - t / months))
    growth = (1 + rate) ** t
    instalment = amount * rate / (1 - (1 + rate) ** -months)
    return np.asarray(amount * growth - instalment * (growth - 1) / rate)


def stage(exposure: Exposure, *, rule: SicrRule = SICR, terms: TermStructure = CONSTANT_HAZARD) -> tuple[Stage, str]:
    """The stage, and the first reason for it."""
    if exposure.defaulted or exposure.days_past_due >= rule.days_stage_3:
        return 3, "defaulted" if exposure.defaulted else f"{exposure.days_past_due} days past due"
    if exposure.days_past_due >= rule.days_stage_2:
        return 2, f"{exposure.days_past_due} days past due"
    months = exposure.months_remaining
    now, then = (
        terms.lifetime(p, months) for p in (exposure.prob_default_12m, exposure.prob_default_12m_at_origination)
    )
    if now >= rule.lifetime_ratio * then and now - then >= rule.lifetime_rise:
        return 2, f"lifetime probability of default {now:.4f}, at origination {then:.4f} for the same months"
    return 1, "no significant increase in credit risk"


def expected_loss(exposure: Exposure, *, rule: SicrRule = SICR, terms: TermStructure = CONSTANT_HAZARD) -> ExpectedLoss:
    """The loss of one exposure; a default in month t is discounted to its end at the effective interest rate."""
    of, because = stage(exposure, rule=rule, terms=terms)
    months, lgd = exposure.months_remaining, exposure.loss_given_default
    if of == 3:
        loss = exposure.amount * lgd
        return ExpectedLoss(3, because, 1.0, loss, loss, loss)
    marginal_T = terms.marginal(exposure.prob_default_12m, months)
    discount_T = (1 + exposure.annual_rate) ** (-(np.arange(months) + 1) / 12)
    loss_T = marginal_T * lgd * balance(exposure.amount, exposure.annual_rate, months) * discount_T
    loss_12m, loss_lifetime = float(loss_T[:12].sum()), float(loss_T.sum())
    booked = loss_12m if of == 1 else loss_lifetime
    return ExpectedLoss(of, because, float(marginal_T.sum()), loss_12m, loss_lifetime, booked)
