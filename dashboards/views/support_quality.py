"""Quality: shares with their intervals, and rated answers to review. Ignores how they are counted."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.support_parts import citations, cited, escaped, source_card
from service.client import TriviumClient
from verticals.support.schemas import ListFeedbackRequest, QualityRequest, RatedAnswer, Rating

_DAYS = (7, 30, 90, 365)


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the figures, then the review list."""
    left, _ = st.columns([1, 4])
    days = left.selectbox(labels("quality.days"), _DAYS, index=1)
    quality = parts.ask(labels, lambda: client.call("support", "quality", QualityRequest(days=days)))
    if quality is None:
        return
    for column, name in zip(st.columns(3), ("sessions", "waiting_handoffs", "waiting_approvals"), strict=True):
        column.metric(labels(f"quality.{name}"), getattr(quality, name))
    shares = {name: getattr(quality, name) for name in ("contained", "cited", "liked")}
    parts.intervals(
        [
            parts.IntervalRow(
                labels(f"quality.{name}"), share.share, share.low, share.high, (0.0, 1.0),
                note=labels("quality.of", count=share.count, total=share.total), form=".0%",
            )
            for name, share in shares.items()
            if share.share is not None
        ]
    )  # fmt: skip
    nothing = [labels(f"quality.{name}") for name, share in shares.items() if share.share is None]
    if nothing:
        st.caption(labels("quality.nothing", names=", ".join(nothing)))
    _review(client, labels)


def _review(client: TriviumClient, labels: Labels) -> None:
    st.subheader(labels("review.title"), anchor=False)
    rating = st.segmented_control(
        labels("review.title"),
        [Rating.DOWN, Rating.UP],
        default=Rating.DOWN,
        required=True,
        format_func=lambda one: labels(f"rating.{one}"),
        label_visibility="collapsed",
        key="support.rating",
    )
    request = ListFeedbackRequest(rating=rating, limit=200)
    page = parts.ask(labels, lambda: client.call("support", "list_feedback", request))
    if page is None:
        return
    if not page.answers:
        parts.empty(labels("review.none"), labels("review.none_hint"))
        return
    st.download_button(
        labels("review.download"),
        "".join(answer.model_dump_json() + "\n" for answer in page.answers),
        f"feedback-{rating}.jsonl",
        "application/jsonl",
    )
    for answer in page.answers:
        _answer(labels, answer)


def _answer(labels: Labels, answer: RatedAnswer) -> None:
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{escaped(answer.question)}**")
        st.markdown(cited(answer.answer))
        st.caption(f"{parts.when(answer.created_at)} UTC · {escaped(answer.comment)}".rstrip(" ·"))
        if answer.sources:
            with st.expander(labels("support.sources"), type="compact"):
                for source in answer.sources:
                    source_card(labels, source, used=source.number in citations(answer.answer))
