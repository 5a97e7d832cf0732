"""Finance: an identity document against what the applicant stated; the image is read and forgotten. Ignores how."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient, UploadedFile
from verticals.finance.documents.schemas import DocumentFinding, DocumentRequest, DocumentResponse

_ICONS = {"alert": ":material/error:", "review": ":material/warning:", "info": ":material/info:"}
_COLOURS: dict[str, parts.Colour] = {"alert": "red", "review": "orange", "info": "gray"}
EARLIEST = date(1900, 1, 1)


def document_tab(client: TriviumClient, labels: Labels) -> None:
    """Image and statements on the left, what stands out and the fields on the right."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        request = _form(labels)
    if request is not None:
        with right:
            waiting = labels("document.reading")
            found = parts.ask(labels, lambda: client.call("finance", "documents", request), waiting=waiting)
        st.session_state["document.found"] = found
    with right:
        response: DocumentResponse | None = st.session_state.get("document.found")
        if response is None:
            parts.empty(labels("document.empty"), labels("document.empty_hint"))
        else:
            _result(labels, response)


def _form(labels: Labels) -> DocumentRequest | None:
    st.caption(labels("document.what"))
    with st.form("document.form", border=False):
        file = st.file_uploader(labels("document.image"), type=["png", "jpg", "jpeg", "webp"])
        name = st.text_input(labels("document.name"), key="document.name").strip()
        today = datetime.now(UTC).date()
        born = st.date_input(
            labels("document.birth_date"), value=None, min_value=EARLIEST, max_value=today, key="document.birth_date"
        )
        number = st.text_input(labels("document.document_number"), key="document.document_number").strip()
        named = st.session_state.get("finance.form", {}).get("customer") or ""  # in the application's form
        customer = st.text_input(
            labels("field.customer"), named, key="document.customer", help=labels("document.customer_help")
        ).strip()
        sent = st.form_submit_button(labels("document.send"), type="primary")
    if not sent:
        return None
    if file is None:
        st.info(labels("document.missing"))
        return None
    upload = UploadedFile(filename=file.name, content=file.getvalue(), media_type=file.type)
    # Sent as typed, so that the API names the field and the rule that a bad value breaks.
    return DocumentRequest.model_construct(
        file=upload,
        application_id=None,
        customer=customer or None,
        name=name or None,
        birth_date=born,
        document_number=number or None,
    )


def _result(labels: Labels, found: DocumentResponse) -> None:
    st.subheader(labels(f"document.kind.{found.kind}"), anchor=False)
    if not found.findings:
        st.markdown(f":green-badge[{labels('document.nothing')}]")
    for finding in found.findings:
        st.markdown(_told(labels, finding))
    if found.fields:
        st.dataframe(field_table(labels, found), hide_index=True)
    if found.zone is not None:
        with st.expander(labels("document.zone", size=found.zone.size)):
            held = labels("document.holds"), labels("document.fails")
            parts.facts([(part.replace("_", " "), held[0 if good else 1]) for part, good in found.zone.checks.items()])
            for problem in found.zone.problems:
                st.caption(labels.said(problem))
    with st.expander(labels("document.features", total=len(found.features))):
        parts.facts(
            [(labels.said(one.meaning), "–" if one.value is None else f"{one.value:.3g}") for one in found.features],
        )
    if found.evidence:
        st.caption(labels("document.kept"))
    st.caption(labels.said(found.note))


def _told(labels: Labels, finding: DocumentFinding) -> str:
    text = finding.text_zh if labels.language == "zh" else finding.text
    return f"{_ICONS[finding.severity]} :{_COLOURS[finding.severity]}-badge[{finding.code}] {parts.plain(text)}"


def field_table(labels: Labels, found: DocumentResponse) -> pd.DataFrame:
    """One line a field: value, sureness, where it stands."""
    return pd.DataFrame(
        [
            {
                labels("document.field"): labels.get(f"document.{one.name}", one.name.replace("_", " ")),
                labels("document.value"): one.value,
                labels("document.confidence"): f"{one.confidence:.2f}",
                labels("document.source"): labels(f"document.source.{one.source}"),
            }
            for one in found.fields
        ]
    )
