"""Finance: one customer's history as a timeline, with the features and the sequence term that a score reads of it.

Ignores how they are computed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboards import parts, portfolio_charts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.finance.histories.schemas import (
    EventItem,
    EventPage,
    EventPageRequest,
    FeaturesRequest,
    FeaturesResponse,
    SequenceState,
)

EVENTS = 500  # of the timeline: the newest


def history_tab(client: TriviumClient, labels: Labels) -> None:
    """A customer's reference, then what is known of him."""
    customer = st.text_input(
        labels("history.customer"), key="history.customer", help=labels("history.customer_help"), width=320
    ).strip()
    if not customer:
        parts.empty(labels("history.empty"), labels("history.empty_hint"))
        return
    events: EventPage | None = parts.ask(
        labels,
        lambda: client.call("finance", "events", EventPageRequest.model_construct(customer=customer, limit=EVENTS)),
    )
    if events is None:
        return
    if not events.items:
        parts.empty(labels("history.none"), labels("history.none_hint"))
        return
    if events.synthetic:
        parts.banner(labels("history.synthetic"))
    st.caption(labels("history.shown", shown=len(events.items), total=events.total))
    timeline = portfolio_charts.timeline(
        event_points(labels, events.items),
        palette=parts.palette(),
        title=labels("history.amount"),
        balance=labels("history.balance"),
    )
    st.altair_chart(timeline, width="stretch")
    found: FeaturesResponse | None = parts.ask(
        labels, lambda: client.call("finance", "features", FeaturesRequest(customer=customer))
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.dataframe(event_table(labels, events.items), hide_index=True, height=420)
    with right:
        if found is not None:
            _sequence(labels, found.sequence)
            parts.facts([(labels.said(one.label), _number(one.value)) for one in found.features])


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def _sequence(labels: Labels, state: SequenceState | None) -> None:
    if state is None:
        st.caption(labels("history.no_vector"))
        return
    st.metric(labels("history.sequence"), f"{state.log_odds:+.3f}", help=labels("history.sequence_help"))
    st.caption(labels("history.sequence_of", n=state.num_events, bound=state.bound, model=state.model_version))


def event_points(labels: Labels, events: Sequence[EventItem]) -> pd.DataFrame:
    """Columns `at`, `amount`, `balance`, `kind` (in words), oldest first."""
    rows = [(one.at, one.amount, one.balance, labels.get(f"event.{one.kind}", str(one.kind))) for one in events]
    return pd.DataFrame(rows[::-1], columns=["at", "amount", "balance", "kind"])


def event_table(labels: Labels, events: Sequence[EventItem]) -> pd.DataFrame:
    """One line an event, newest first."""
    return pd.DataFrame(
        [
            {
                labels("decisions.when"): parts.when(one.at),
                labels("history.kind"): labels.get(f"event.{one.kind}", str(one.kind)),
                labels("history.category"): str(one.category or "").replace("_", " "),
                labels("history.amount"): one.amount,
                labels("history.balance"): one.balance,
            }
            for one in events
        ]
    )
