"""Finance: what was decided over time, whether the scores have shifted, and how credits turned out.

Ignores how it is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import pandas as pd
import streamlit as st

from dashboards import charts, parts, portfolio_charts
from dashboards.i18n import Labels
from dashboards.views.finance_strategy import decision_table
from service.client import TriviumClient
from verticals.finance.portfolio.schemas import (
    Month,
    OverrideRow,
    PortfolioRequest,
    PortfolioResponse,
    Shift,
    VintageRow,
)
from verticals.finance.schemas import Decision

WINDOWS = (30, 90, 365)  # days


def portfolio_tab(client: TriviumClient, labels: Labels) -> None:
    """Months, distribution, migration, vintages."""
    days = st.segmented_control(
        labels("portfolio.window"),
        WINDOWS,
        default=WINDOWS[-1],
        format_func=lambda days: labels("portfolio.days", days=days),
        key="portfolio.days",
        label_visibility="collapsed",
    )
    today = datetime.now(UTC).date()
    request = PortfolioRequest(first=today - timedelta(days=days or WINDOWS[-1]), last=today)
    found: PortfolioResponse | None = parts.ask(
        labels, lambda: client.call("finance", "portfolio", request), waiting=labels("portfolio.waiting")
    )
    if found is None:
        return
    if not found.count:
        parts.empty(labels("decisions.empty"), labels("decisions.empty_hint"))
        return
    _headline(labels, found)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{labels('portfolio.months')}**")
        bars = portfolio_charts.stacked_shares(
            month_shares(labels, found.months),
            order=[labels(f"decision.{name}") for name in get_args(Decision)],
            tones=[parts.TONES[name] for name in get_args(Decision)],
            palette=parts.palette(),
            count=labels("finance.people"),
        )
        st.altair_chart(bars, width="stretch")
        st.markdown(f"**{labels('portfolio.moves')}**")
        _moves(labels, found)
    with right:
        st.markdown(f"**{labels('portfolio.points')}**")
        st.altair_chart(
            portfolio_charts.two_histograms(
                [charts.Bin(one.low, one.high, one.count) for one in found.bins],
                reference=[charts.Bin(one.low, one.high, one.reference) for one in found.bins],
                palette=parts.palette(),
                title=labels("finance.axis"),
                names=(labels("portfolio.now"), labels("portfolio.reference")),
            ),
            width="stretch",
        )
        st.markdown(f"**{labels('portfolio.vintages')}**")
        _vintages(labels, found.vintages)
    st.markdown(f"**{labels('portfolio.overrides')}**")
    st.dataframe(override_table(labels, found.overrides), hide_index=True)
    st.caption(labels.said(found.note))


def _headline(labels: Labels, found: PortfolioResponse) -> None:
    count, approved, prob, place = st.columns(4)
    shares = pd.DataFrame([month.shares for month in found.months])
    weights = [month.count for month in found.months]
    mean = sum(m.mean_prob_default * m.count for m in found.months) / found.count
    count.metric(labels("portfolio.decisions"), f"{found.count:,}")
    approved.metric(labels("decision.approve"), f"{(shares['approve'] * weights).sum() / found.count:.1%}")
    prob.metric(labels("portfolio.mean_prob"), f"{mean:.1%}")
    with place:
        _shift(labels, found.shift)


def _shift(labels: Labels, shift: Shift | None) -> None:
    tones: dict[str, charts.Tone] = {"green": "good", "yellow": "doubt", "red": "bad"}
    if shift is None or shift.grade not in tones:
        st.metric(labels("portfolio.shift"), labels("grade.not measured"))
        return
    parts.verdict(labels("portfolio.shift"), labels(f"portfolio.shift.{shift.grade}"), tone=tones[shift.grade])
    st.caption(labels("portfolio.psi", psi=shift.psi, low=shift.low, high=shift.high))


def month_shares(labels: Labels, months: Sequence[Month]) -> pd.DataFrame:
    """Columns `month`, `decision` (in words), `share`, `count`."""
    return pd.DataFrame(
        [
            {
                "month": month.month,
                "decision": labels(f"decision.{name}"),
                "share": month.shares[name],
                "count": round(month.shares[name] * month.count),
            }
            for month in months
            for name in get_args(Decision)
        ]
    )


def _moves(labels: Labels, found: PortfolioResponse) -> None:
    if not found.moves:
        st.caption(labels("portfolio.no_moves"))
        return
    st.dataframe(decision_table(labels, {(move.first, move.last): move.count for move in found.moves}))


def _vintages(labels: Labels, vintages: Sequence[VintageRow]) -> None:
    if not any(one.known for one in vintages):
        st.caption(labels("portfolio.no_outcomes"))
        return
    st.dataframe(vintage_table(labels, vintages), hide_index=True)
    ages = [(one.month, age, share) for one in vintages for age, share in enumerate(one.by_age)]
    if any(age for _, age, _ in ages):
        curve = portfolio_charts.vintage_curves(
            pd.DataFrame(ages, columns=["vintage", "age", "share"]),
            palette=parts.palette(),
            title=labels("bands.default_rate"),
            along=labels("portfolio.age"),
        )
        st.altair_chart(curve, width="stretch")


def override_table(labels: Labels, rows: Sequence[OverrideRow]) -> pd.DataFrame:
    """One line a direction."""
    return pd.DataFrame(
        [
            {
                labels("portfolio.direction"): labels(f"manual.{one.direction}"),
                labels("bands.count"): one.count,
                labels("portfolio.of"): one.of,
                labels("portfolio.rate"): _percent(one.rate),
                labels("validation.interval"): f"{_percent(one.low)} – {_percent(one.high)}" if one.of else "–",
                labels("portfolio.override_reasons"): ", ".join(f"{code} {n}" for code, n in one.reasons.items()),
                labels("portfolio.granted"): one.approved_known,
                labels("portfolio.defaults"): one.approved_defaults,
            }
            for one in rows
        ]
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def vintage_table(labels: Labels, vintages: Sequence[VintageRow]) -> pd.DataFrame:
    """One line a month of approval."""
    return pd.DataFrame(
        [
            {
                labels("portfolio.vintage"): one.month,
                labels("portfolio.approved"): one.approved,
                labels("portfolio.known"): one.known,
                labels("portfolio.defaults"): one.defaults,
                labels("bands.default_rate"): _percent(one.default_rate),
                labels("validation.interval"): f"{_percent(one.low)} – {_percent(one.high)}" if one.known else "–",
                labels("portfolio.expected"): _percent(one.expected),
            }
            for one in vintages
        ]
    )
