"""The patient's record beside the report: what it says, and its summary for the report. Ignores how it is read.

Nothing of a record is stored: what was read lives in this session, and is in the report only once a person takes it.
"""

from __future__ import annotations

from typing import cast

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import ApiError, TriviumClient
from verticals.medical.record_schemas import RecordFact, RecordRequest, RecordResponse
from verticals.medical.schemas import ReportResponse, StudyResponse


def record_panel(client: TriviumClient, labels: Labels, study: StudyResponse, *, editor_key: str | None) -> None:
    """Draw the form, and what the record said that was read last.

    Args:
        editor_key: Session key of the editor's text that takes the indication; None: the report is signed.
    """
    key = f"medical.record.{study.study_id}"
    with st.expander(labels("record.title"), icon=":material/history_edu:"):
        found = _ask(client, labels, study, key=key)
        if found is None:
            return
        facts = [*found.problems, *found.medicines]
        if facts:
            st.dataframe(pd.DataFrame([_row(labels, fact) for fact in facts]), hide_index=True)
        else:
            st.caption(labels("record.nothing"))
        if not found.indication:
            return
        st.markdown(f"**{labels('record.indication')}**")
        st.text(found.indication)
        if editor_key is not None:
            st.button(
                labels("record.take"), icon=":material/add:", key=f"{key}.take",
                on_click=take, args=(editor_key, study.report, found.indication),
            )  # fmt: skip
            st.caption(labels("record.take_hint"))


def take(editor_key: str, report: ReportResponse, indication: str) -> None:
    """Put the indication under what stands in the editor, which the person still has to save."""
    before = st.session_state.get(editor_key, report.sections.examination)
    line = f"Indication: {indication}"
    if line not in before:
        st.session_state[editor_key] = f"{before}\n{line}".strip()


def _ask(client: TriviumClient, labels: Labels, study: StudyResponse, *, key: str) -> RecordResponse | None:
    """What the last record said; a new one is read when the form is sent, and a refused one leaves nothing."""
    with st.form(key, border=False):
        st.caption(labels("record.hint"))
        patient_id = st.text_input(labels("record.patient"), max_chars=64, help=labels("record.patient_help"))
        typed = st.text_area(labels("record.text"), height=110)
        file = st.file_uploader(labels("record.file"), type=["txt", "json"])
        sent = st.form_submit_button(labels("record.read"))
    if sent:

        def read() -> RecordResponse:
            text = typed if file is None else _text_of(file.getvalue())
            request = RecordRequest.model_construct(study_id=study.study_id, patient_id=patient_id.strip(), record=text)
            return cast(RecordResponse, client.call("medical", "read_record", request))

        st.session_state[f"{key}.found"] = parts.ask(labels, read, waiting=labels("record.reading"))
    found: RecordResponse | None = st.session_state.get(f"{key}.found")
    return found


def _text_of(content: bytes) -> str:
    """A file's text. A character that is guessed may be another medicine.

    Raises:
        ApiError: it is not in UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        place, remedy = f"byte {error.start + 1}", "Save the file as text in UTF-8 and send it again."
        rule = "must be a text in UTF-8"
        raise ApiError(0, "Invalid input", field="record", value=place, rule=rule, remedy=remedy) from None


def _row(labels: Labels, fact: RecordFact) -> dict[str, str]:
    return {
        labels("record.kind"): labels(f"record.{fact.kind}"),
        labels("record.says"): fact.text,
        labels("record.presence"): labels(f"presence.{fact.presence}"),
        labels("record.history"): labels("record.past" if fact.is_history else "record.now"),
        labels("record.codes"): ", ".join(f"{code.scheme} {code.value}" for code in fact.codes),
    }
