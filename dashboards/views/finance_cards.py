"""Finance: a file of card transactions, scored; what lies above the threshold is in the queue. Ignores how."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient
from verticals.finance.fraud.card_schemas import (
    MAX_ROWS,
    CardScore,
    FraudModelRequest,
    FraudModelResponse,
    RowError,
    ScoreCardsRequest,
    ScoreCardsResponse,
)

SHOWN = 200  # rows of each table


@dataclass
class Scored:
    """What became of a file so far."""

    items: list[CardScore] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)


def score_cards(client: TriviumClient, labels: Labels) -> None:
    """Upload and result, folded away."""
    with st.expander(labels("cards.title"), icon=":material/credit_card:"):
        model: FraudModelResponse | None = parts.ask(
            labels, lambda: client.call("finance", "fraud_model", FraudModelRequest())
        )
        if model is None:
            return
        st.caption(labels("cards.what", threshold=model.threshold, rate=model.false_positives))
        if model.synthetic:
            st.caption(labels("cards.synthetic"))
        with st.form("cards.form", border=False):
            file = st.file_uploader(labels("batch.file"), type=["csv"], key="cards.file")
            sent = st.form_submit_button(labels("cards.send"))
        if sent and file is None:
            st.info(labels("batch.missing"))
        elif sent and file is not None:
            with st.spinner(labels("cards.waiting")):
                st.session_state["cards.scored"] = _send(client, labels, file.getvalue())
        if (found := st.session_state.get("cards.scored")) is not None:
            _result(labels, found)


def _send(client: TriviumClient, labels: Labels, content: bytes) -> Scored | None:
    """The file a thousand rows at a time; what was scored before a failure stays shown."""
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False).to_dict("records")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        st.warning(labels("cards.unreadable"))
        return None
    if not rows:
        st.info(labels("cards.none"))
        return None
    found = Scored()
    for start in range(0, len(rows), MAX_ROWS):
        request = ScoreCardsRequest(transactions=rows[start : start + MAX_ROWS])
        answer: ScoreCardsResponse | None = parts.ask(labels, partial(client.call, "finance", "score_cards", request))
        if answer is None:
            break
        found.items += answer.items
        found.errors += [error.model_copy(update={"row": error.row + start}) for error in answer.errors]
    return found


def _result(labels: Labels, found: Scored) -> None:
    known = sum(item.known for item in found.items)
    flagged = [item for item in found.items if item.flagged]
    figures = {"scored": len(found.items) - known, "known": known, "flagged": len(flagged)}
    for place, (name, number) in zip(st.columns(4), (figures | {"refused": len(found.errors)}).items(), strict=True):
        place.metric(labels(f"cards.{name}"), f"{number:,}")
    if found.errors:
        st.dataframe(error_table(labels, found.errors[:SHOWN]), hide_index=True)
        if len(found.errors) > SHOWN:
            st.caption(labels("batch.preview", shown=SHOWN, total=len(found.errors)))


def error_table(labels: Labels, errors: list[RowError]) -> pd.DataFrame:
    """One line a refused row, counted from 1 as a spreadsheet's reader does."""
    return pd.DataFrame(
        [
            {
                labels("cards.row"): one.row + 1,
                labels("cases.transaction"): one.transaction_id or "–",
                labels("problem.field"): one.field,
                labels("cards.rule"): f"{one.rule}. {one.remedy}",
            }
            for one in errors
        ]
    )
