"""Finance: what another policy would do to applicants whose outcome is known, and the policy's versions.

Ignores how it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import get_args

import pandas as pd
import streamlit as st

from dashboards import charts, parts, portfolio_charts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.finance.policy_schemas import (
    ActivateRequest,
    CutOff,
    Estimate,
    PoliciesRequest,
    PolicyDraft,
    PolicyOutcome,
    PolicyPage,
    RollBackRequest,
    SimulateRequest,
    SimulateResponse,
    StoredPolicy,
)
from verticals.finance.schemas import Decision, Policy
from verticals.finance.sources.schemas import SOURCES, Mode, Source

REASON = 10  # characters at least, as the API asks


def strategy_tab(client: TriviumClient, labels: Labels) -> None:
    """Sliders, and what they would have done; below, versions in force and to come."""
    page: PolicyPage | None = parts.ask(labels, lambda: client.call("finance", "policies", PoliciesRequest()))
    if page is None:
        return
    active = next(one.policy for one in page.policies if one.active)
    left, right = st.columns([2, 5], gap="large")
    with left:
        request = _levers(labels, active)
    with right:
        found: SimulateResponse | None = parts.ask(labels, lambda: client.call("finance", "simulate", request))
        if found is not None:
            _simulated(labels, found)
    st.divider()
    _versions(client, labels, page)
    if request.approve_at is None or request.decline_below is None:
        return
    if client.may("finance.store_policy"):
        _store(client, labels, active, cut_offs=(request.approve_at, request.decline_below))


def _levers(labels: Labels, active: Policy) -> SimulateRequest:
    st.subheader(labels("strategy.proposed"), anchor=False)
    st.caption(labels("strategy.what", version=active.version))
    low, high = active.decline_below - 60, active.approve_at + 60
    decline_below, approve_at = st.slider(
        labels("strategy.cut_offs"),
        low,
        high,
        (active.decline_below, active.approve_at),
        key=f"strategy.cut_offs.{active.version}",
        help=labels("strategy.cut_offs_help"),
    )
    loss = st.slider(labels("strategy.lgd"), 0, 100, 45, format="%d %%", key="strategy.lgd")
    margin = st.slider(labels("strategy.margin"), 0, 40, 9, format="%d %%", key="strategy.margin")
    return SimulateRequest(
        approve_at=approve_at, decline_below=decline_below, loss_given_default=loss / 100, margin=margin / 100
    )


# --- the simulation ---------------------------------------------------------------------------------------------------


def _simulated(labels: Labels, found: SimulateResponse) -> None:
    st.caption(labels("strategy.sample", n=found.n, sample=labels.said(found.sample)))
    _outcomes(labels, found)
    marks = [
        portfolio_charts.Mark(labels("strategy.current"), found.current.approve_at, "muted"),
        portfolio_charts.Mark(labels("strategy.proposed"), found.proposed.approve_at, "accent"),
    ]
    titles = [("profit", labels("strategy.profit")), ("default_rate", labels("strategy.default_rate"))]
    for place, (name, title) in zip(st.columns(2), titles, strict=True):
        line = portfolio_charts.interval_line(
            curve_points(found.curve, name),
            marks=marks,
            palette=parts.palette(),
            title=title,
            along=labels("strategy.approve_from"),
            form=".0%" if name == "default_rate" else ",.0f",
        )
        place.altair_chart(line, width="stretch")
    swaps, moves = st.columns(2, gap="large")
    with swaps:
        st.markdown(f"**{labels('strategy.swap')}**")
        st.dataframe(_swap_set(labels, found), hide_index=True)
    with moves:
        st.markdown(f"**{labels('strategy.migration')}**")
        st.dataframe(decision_table(labels, {(one.current, one.proposed): one.count for one in found.migration}))
    with st.expander(labels("strategy.notes")):
        st.markdown("\n".join(f"- {parts.plain(labels.said(note))}" for note in found.notes))


def _outcomes(labels: Labels, found: SimulateResponse) -> None:
    """The two policies' figures, and the one that tells them apart."""
    current, proposed = found.current, found.proposed
    for place, decision in zip(st.columns(3), get_args(Decision), strict=True):
        before, after = current.shares[decision], proposed.shares[decision]
        change = f"{100 * (after - before):+.1f} pp" if round(1000 * (after - before)) else None
        place.metric(labels(f"decision.{decision}"), f"{after:.1%}", change, delta_color="off")
    rows = [
        *_compared(labels, "strategy.default_rate", current, proposed, form=".1%"),
        *_compared(labels, "strategy.loss", current, proposed, form=",.1f"),
        *_compared(labels, "strategy.profit", current, proposed, form=",.1f"),
    ]
    if whole := _whole(found.profit_change):
        value, low, high = whole
        edge = max(abs(low), abs(high)) * 1.15 or 1.0
        tone: charts.Tone = "good" if low > 0 else "bad" if high < 0 else "doubt"
        rows.append(
            parts.IntervalRow(
                labels("strategy.change"),
                value=value,
                low=low,
                high=high,
                domain=(-edge, edge),
                baseline=0.0,
                verdict=labels(f"strategy.verdict.{tone}"),
                tone=tone,
                form="+,.1f",
            )
        )
    parts.intervals(rows)


def _compared(
    labels: Labels, key: str, current: PolicyOutcome, proposed: PolicyOutcome, *, form: str
) -> list[parts.IntervalRow]:
    """One row a policy, on one scale; none where nobody is approved."""
    field = key.removeprefix("strategy.")
    outcomes = (("strategy.current", current), ("strategy.proposed", proposed))
    known = [(labels(name), *whole) for name, one in outcomes if (whole := _whole(getattr(one, field)))]
    if not known:
        return []
    low, high = min(one[2] for one in known), max(one[3] for one in known)
    margin = (high - low) * 0.15 or 0.01
    domain = (low - margin, high + margin)
    return [
        parts.IntervalRow(f"{labels(key)} · {name}", value=value, low=lower, high=upper, domain=domain, form=form)
        for name, value, lower, upper in known
    ]


def _whole(estimate: Estimate) -> tuple[float, float, float] | None:
    """Value and interval; None where nobody is left to measure it on."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return estimate.value, estimate.low, estimate.high


def curve_points(curve: Sequence[CutOff], name: str) -> pd.DataFrame:
    """One figure by cut-off: columns `at`, `value`, `low`, `high`; left out where nobody is approved."""
    rows = [(cut.approve_at, *whole) for cut in curve if (whole := _whole(getattr(cut, name)))]
    return pd.DataFrame(rows, columns=["at", "value", "low", "high"])


def _swap_set(labels: Labels, found: SimulateResponse) -> pd.DataFrame:
    rows = []
    for name, swapped in (("swap_in", found.swap_in), ("swap_out", found.swap_out)):
        rows.append(
            {
                "": labels(f"strategy.{name}"),
                labels("bands.count"): swapped.count,
                labels("bands.share"): f"{swapped.share:.1%}",
                labels("bands.default_rate"): _estimate(swapped.default_rate, ".1%"),
                labels("strategy.profit_each"): _estimate(swapped.profit, ",.0f"),
            }
        )
    return pd.DataFrame(rows)


def decision_table(labels: Labels, counts: Mapping[tuple[Decision, Decision], int]) -> pd.DataFrame:
    """How many went from one decision (rows) to another (columns)."""
    names = get_args(Decision)
    return pd.DataFrame(
        [[counts.get((a, b), 0) for b in names] for a in names],
        index=[labels(f"decision.{name}") for name in names],
        columns=[f"→ {labels(f'decision.{name}')}" for name in names],
    )


def _estimate(estimate: Estimate, form: str) -> str:
    if whole := _whole(estimate):
        value, low, high = whole
        return f"{value:{form}} ({low:{form}} – {high:{form}})"
    return "–" if estimate.value is None else format(estimate.value, form)


# --- versions ---------------------------------------------------------------------------------------------------------


def _versions(client: TriviumClient, labels: Labels, page: PolicyPage) -> None:
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader(labels("policies.versions"), anchor=False)
        st.dataframe(pd.DataFrame([_version(labels, one) for one in page.policies]), hide_index=True)
        if page.activations:
            with st.expander(labels("policies.history", total=len(page.activations))):
                rows = [
                    {
                        labels("decisions.when"): parts.when(one.created_at),
                        labels("policies.step"): labels(f"policies.{one.step.replace(' ', '_')}"),
                        labels("model.version"): f"{one.previous} → {one.version}",
                        labels("policies.reason"): one.reason,
                        labels("policies.who"): one.actor,
                    }
                    for one in page.activations
                ]
                st.dataframe(pd.DataFrame(rows), hide_index=True)
    if client.may("finance.activate_policy"):
        with right:
            _activate(client, labels, page)


def _version(labels: Labels, one: StoredPolicy) -> dict[str, object]:
    return {
        labels("model.version"): one.policy.version,
        labels("policies.state"): labels("policies.active" if one.active else "policies.stored"),
        labels("policy.from"): str(one.policy.effective_from),
        labels("policy.approve_at"): one.policy.approve_at,
        labels("policy.decline_below"): one.policy.decline_below,
        labels("policies.overrides"): len(one.policy.overrides),
        labels("policy.source"): labels.said(one.policy.source),
    }


def _activate(client: TriviumClient, labels: Labels, page: PolicyPage) -> None:
    st.subheader(labels("policies.change"), anchor=False)
    others = [one.policy.version for one in page.policies if not one.active]
    if not others and not page.activations:
        st.caption(labels("policies.only_one"))
        return
    with st.form("policies.activate", border=False):
        nothing = labels("policies.no_other")
        version = st.selectbox(labels("policies.which"), others, placeholder=nothing, key="policies.version")
        reason = st.text_input(labels("policies.reason"), key="policies.why", help=labels("policies.reason_help"))
        with st.container(horizontal=True):
            activate = st.form_submit_button(labels("policies.activate"), type="primary", disabled=not others)
            back = st.form_submit_button(labels("policies.roll_back"), disabled=not page.activations)
    if not (activate or back):
        return
    # Sent as typed, so that the API names the field and the rule that a bad value breaks.
    operation, request = (
        ("activate_policy", ActivateRequest.model_construct(version=version, reason=reason))
        if activate
        else ("roll_back_policy", RollBackRequest.model_construct(reason=reason))
    )
    if parts.ask(labels, lambda: client.call("finance", operation, request)) is not None:
        st.rerun()


def _store(client: TriviumClient, labels: Labels, active: Policy, *, cut_offs: tuple[int, int]) -> None:
    """Keep the sliders' cut-offs as a version."""
    approve_at, decline_below = cut_offs
    with st.expander(labels("policies.keep", approve_at=approve_at, decline_below=decline_below)):
        with st.form("policies.store", border=False):
            today = datetime.now(UTC).date()
            version = st.text_input(labels("policies.name"), value=today.isoformat(), key="policies.new_version")
            starts = st.date_input(labels("policy.from"), value=today, key="policies.starts")
            modes = {name: _mode(labels, name, active) for name in SOURCES}
            source = st.text_input(labels("policy.source"), key="policies.source", help=labels("policies.source_help"))
            sent = st.form_submit_button(labels("policies.store"))
        if sent:
            draft = PolicyDraft.model_construct(
                version=version,
                effective_from=starts,
                cost_bad_approved=active.cost_bad_approved,
                cost_good_declined=active.cost_good_declined,
                cost_review=active.cost_review,
                approve_at=approve_at,
                decline_below=decline_below,
                overrides=active.overrides,
                sources=modes,
                source=source,
            )
            if parts.ask(labels, lambda: client.call("finance", "store_policy", draft)) is not None:
                st.rerun()


def _mode(labels: Labels, source: Source, active: Policy) -> Mode:
    """How a source shall count in the new version; as in the one in force until the reader says otherwise."""
    options = list(get_args(Mode))
    found: Mode = st.selectbox(
        labels(f"source.{source}"),
        options,
        index=options.index(active.sources.get(source, "off")),
        format_func=lambda mode: labels(f"sources.{mode}"),
        key=f"policies.source.{source}",
    )
    return found
