"""Finance: an application's score on its scale, with its reasons as a waterfall. Ignores how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit as st

from dashboards import charts, parts
from dashboards.i18n import Labels
from dashboards.views.finance_cases import cases_tab
from dashboards.views.finance_decisions import decisions_tab
from dashboards.views.finance_document import document_tab
from dashboards.views.finance_history import history_tab
from dashboards.views.finance_model import batch_tab, model_tab
from dashboards.views.finance_portfolio import portfolio_tab
from dashboards.views.finance_sources import aspect_words, source_detail, source_states
from dashboards.views.finance_strategy import strategy_tab
from dashboards.views.finance_text import text_form
from dashboards.views.finance_validation import validation_tab
from dashboards.views.finance_whatif import value_words, what_if
from service.client import TriviumClient
from verticals.finance.schemas import (
    LABELS,
    Application,
    DistributionRequest,
    DistributionResponse,
    ScoreRequest,
    ScoreResponse,
)

REFERENCES = ("application_id", "customer")  # of the form: text, empty for none


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    names = [name for name in TABS if client.may(f"finance.{NEEDS[name]}")]
    for name, tab in zip(names, parts.tabs(labels, "finance", names), strict=True):
        if tab.open:
            with tab:
                TABS[name](client, labels)


# --- the form -------------------------------------------------------------------------------------------------------


def _applicant(client: TriviumClient, labels: Labels) -> None:
    left, right = st.columns([4, 7], gap="large")
    with left:
        _examples(client, labels)
        _form(labels)
        if client.may("finance.file_text"):
            text_form(client, labels, customer=st.session_state["finance.form"]["customer"])
    request: ScoreRequest | None = st.session_state.pop("finance.request", None)
    if request is not None:
        with right:
            waiting = labels("finance.scoring")
            score = parts.ask(labels, lambda: client.call("finance", "score", request), waiting=waiting)
        if score is None:
            return
        application = Application(**{name: value for name, value in request if name not in REFERENCES})
        st.session_state["finance.score"] = score, application, request.customer
    with right:
        if "finance.score" not in st.session_state:
            parts.empty(labels("finance.empty"), labels("finance.empty_hint"))
        else:
            score, application, customer = st.session_state["finance.score"]
            _result(client, labels, score)
            what_if(client, labels, application, score, customer=customer)


def _examples(client: TriviumClient, labels: Labels) -> None:
    """Buttons that fill the form; the first example fills it at the start."""
    examples = client.examples("finance", "score")
    st.caption(labels("finance.examples"))
    with st.container(horizontal=True, gap="xsmall"):
        for name, body in examples.items():
            st.button(labels.get(f"example.{name}", name), key=f"finance.example.{name}", on_click=partial(_fill, body))
    if "finance.form" not in st.session_state:
        _fill(next(iter(examples.values()), {}))


def _fill(body: Mapping[str, Any]) -> None:
    st.session_state["finance.form"] = {name: body.get(name) for name in ScoreRequest.model_fields}
    st.session_state["finance.filled"] = (
        st.session_state.get("finance.filled", 0) + 1
    )  # other inputs, with these values


@st.fragment
def _form(labels: Labels) -> None:
    """The application form. A fragment and no `st.form`: what was chosen is known, and stays, in another language."""
    values: dict[str, Any] = st.session_state["finance.form"]
    for name in LABELS:
        values[name] = _choice(labels, name, values[name])
    pairs = [name for name in Application.model_fields if name not in LABELS]
    for column, name in zip(st.columns(len(pairs)), pairs, strict=True):
        values[name] = _number(labels, name, values[name], column)
    for place, name in zip(st.columns(len(REFERENCES)), REFERENCES, strict=True):
        help_text = labels(f"field.{name}_help")
        typed = place.text_input(labels(f"field.{name}"), values[name] or "", key=_key(labels, name), help=help_text)
        values[name] = typed.strip() or None
    if st.button(labels("finance.send"), type="primary", width="stretch"):
        # Sent as typed, so that the API names the field and the rule that a bad value breaks.
        st.session_state["finance.request"] = ScoreRequest.model_construct(**values)
        st.rerun()


def _key(labels: Labels, name: str) -> str:
    """An input's, one a language: a select box keeps the words that it was chosen by."""
    return f"finance.{name}.{st.session_state['finance.filled']}.{labels.language}"


def _choice(labels: Labels, name: str, value: str | None) -> str | None:
    def wording(option: str) -> str:
        return labels(f"value.{name}.{option}") if option else labels("finance.not_known")

    options = ["", *LABELS[name]]  # not None, which a select box shows as "nothing chosen"
    index = options.index("" if value is None else str(value))
    found = st.selectbox(labels(f"field.{name}"), options, index=index, format_func=wording, key=_key(labels, name))
    return found or None


def _number(labels: Labels, name: str, value: int | None, place: Any) -> int | None:
    bounds = {type(rule).__name__: rule for rule in Application.model_fields[name].metadata}
    found: int | None = place.number_input(
        labels(f"field.{name}"), bounds["Ge"].ge, bounds["Le"].le, value, step=1, key=_key(labels, name)
    )
    return found


# --- the result -----------------------------------------------------------------------------------------------------


def _result(client: TriviumClient, labels: Labels, score: ScoreResponse) -> None:
    _headline(labels, score)
    for because in score.refer_because:
        st.markdown(f"- {parts.plain(labels.said(because))}")
    spread = parts.ask(labels, lambda: client.call("finance", "distribution", DistributionRequest()))
    if spread is not None:
        st.markdown(f"**{labels('finance.scale')}**")
        st.altair_chart(scale_chart(labels, score, spread), width="stretch")
        st.caption(labels("finance.scale_note", n=spread.n))
    st.markdown(f"**{labels('finance.reasons')}**")
    _reasons(labels, score)
    st.markdown(f"**{labels('finance.waterfall')}**")
    steps = waterfall_steps(labels, score)
    st.altair_chart(
        charts.waterfall(steps, palette=parts.palette(), title=labels("finance.axis")),
        width="stretch",
        height="content",
    )
    if score.sources:
        source_states(labels, score.sources)
    policy = f"{score.policy.name} {score.policy.version}"
    st.caption(
        labels("finance.versions", application=score.application_id, model=score.model_version, policy=policy)
        + f" {labels.said(score.data_note)}"
    )


def _headline(labels: Labels, score: ScoreResponse) -> None:
    decision, points, prob = st.columns(3)
    shadows = st.columns(3)  # a row of their own, where their names have room
    with decision:
        parts.verdict(
            labels("decisions.decision"), labels(f"decision.{score.decision}"), tone=parts.TONES[score.decision]
        )
    points.metric(labels("finance.score"), f"{score.points}", help=labels("finance.score_help"))
    prob.metric(labels("finance.prob"), f"{score.prob_default:.1%}", help=labels("finance.prob_help"))
    for place, other in zip(shadows, score.challengers, strict=False):
        named = labels("finance.shadow", name=labels.said(other.name))
        place.metric(named, f"{other.prob_default:.1%}", help=labels("finance.challenger_help"))
    if not score.challengers:
        shadows[0].metric(labels("finance.challenger"), "–", help=labels("finance.no_challenger"))


def _reasons(labels: Labels, score: ScoreResponse) -> None:
    if not score.reasons:
        st.caption(labels("finance.no_reasons"))
    values = {one.feature: one.value for one in score.contributions}
    sources = {str(part.source): part for part in score.sources}
    for reason in score.reasons:
        lost = labels("finance.lost", points=f"{reason.points_lost:.0f}")
        text = reason.text
        if labels.language != "en" and (told := labels.get(f"reason.{reason.code}", "")):
            said = value_words(labels, reason.feature, values.get(reason.feature))
            if reason.feature in sources:
                said = aspect_words(labels, sources[reason.feature])
            text = f"{told}: {said}" if said else told
        st.markdown(f":gray-badge[{reason.code}] {parts.plain(text)} :gray[{lost}]")


def scale_chart(labels: Labels, score: ScoreResponse, spread: DistributionResponse) -> Any:
    """The score over the decision bands of its policy and the development sample's distribution."""
    low = min([one.low for one in spread.bins] + [score.points - 10])
    high = max([one.high for one in spread.bins] + [score.points + 10])
    policy = score.policy
    edges = {"decline": (low, policy.decline_below), "refer": (policy.decline_below, policy.approve_at)}
    edges["approve"] = (policy.approve_at, high)
    bands = [
        charts.Band(max(start, low), min(end, high), labels(f"decision.{name}"), parts.TONES[name])
        for name, (start, end) in edges.items()
        if start < end
    ]
    population = [charts.Bin(one.low, one.high, one.approve + one.refer + one.decline) for one in spread.bins]
    return charts.score_scale(
        score.points,
        bands=bands,
        population=population,
        palette=parts.palette(),
        title=labels("finance.axis"),
        people=labels("finance.people"),
    )


def waterfall_steps(labels: Labels, score: ScoreResponse) -> list[charts.Step]:
    """From the average applicant's points over every field and source, largest first, to the score."""
    bars = [
        charts.Step(labels(f"field.{one.feature}"), value_words(labels, one.feature, one.value), one.points)
        for one in score.contributions
    ]
    bars += [
        charts.Step(labels(f"source.{part.source}"), source_detail(labels, part), part.points) for part in score.sources
    ]
    bars.sort(key=lambda step: -abs(step.points))
    return [
        charts.Step(labels("finance.base"), labels("finance.sample"), score.base_points, "base"),
        *bars,
        charts.Step(labels("finance.total"), labels(f"decision.{score.decision}"), score.points_exact, "total"),
    ]


TABS: Mapping[str, Callable[[TriviumClient, Labels], None]] = {
    "applicant": _applicant,
    "batch": batch_tab,
    "decisions": decisions_tab,
    "document": document_tab,
    "history": history_tab,
    "cases": cases_tab,
    "portfolio": portfolio_tab,
    "strategy": strategy_tab,
    "model": model_tab,
    "validation": validation_tab,
}
NEEDS = {  # tab -> the operation without which it is of no use
    "applicant": "score",
    "batch": "score_batch",
    "decisions": "decisions",
    "document": "documents",
    "history": "events",
    "cases": "cases",
    "portfolio": "portfolio",
    "strategy": "simulate",
    "model": "model",
    "validation": "validation",
}
