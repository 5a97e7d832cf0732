"""Finance: what an applicant wrote, filed for a customer's scores; the text is read and forgotten. Ignores how."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.finance_sources import source_states
from service.client import TriviumClient
from verticals.finance.sources.schemas import MAX_TEXT_CHARS, TextRequest, TextResponse


def text_form(client: TriviumClient, labels: Labels, *, customer: str | None) -> None:
    """A field for the text of `customer`'s application, and what became of the last one that was filed."""
    with st.expander(labels("text.title")):
        st.caption(labels("text.what"))
        text = st.text_area(labels("text.words"), key="text.words", max_chars=MAX_TEXT_CHARS)
        if st.button(labels("text.send"), width="stretch"):
            _file(client, labels, customer, text.strip())
        filed: TextResponse | None = st.session_state.get("text.filed")
        if filed is not None and filed.customer == customer:
            st.success(labels("text.filed", customer=filed.customer), icon=":material/check:")
            source_states(labels, [filed.part])
        st.caption(labels("text.document"))


def _file(client: TriviumClient, labels: Labels, customer: str | None, text: str) -> None:
    st.session_state.pop("text.filed", None)
    if customer is None:
        st.info(labels("text.no_customer"))
        return
    # Sent as typed, so that the API names the field and the rule that a bad value breaks.
    request = TextRequest.model_construct(customer=customer, text=text)
    waiting = labels("text.reading")
    filed = parts.ask(labels, lambda: client.call("finance", "file_text", request), waiting=waiting)
    st.session_state["text.filed"] = filed
