"""What did not get in: objects that wait for a person's look at their pixels, and those that were refused.

Ignores how text is found. Only the pixels may be a patient's, and that somebody saw them is recorded.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.components import component
from dashboards.i18n import Labels
from dashboards.views.medical_viewer import picture_data
from dashboards.views.medical_worklist import STUDY
from service.client import Artifact, TriviumClient
from verticals.medical.intake_schemas import (
    DiscardReason,
    DiscardRequest,
    HeldImageRequest,
    HeldObject,
    PageRequest,
    ReleaseRequest,
)
from verticals.medical.schemas import TextPlace

ROWS = 25
_HELD_PAGE, _REFUSED_PAGE, _SEEN = "held.page", "held.refused_page", "held.seen"
_REASONS: tuple[DiscardReason, ...] = ("identifies somebody", "wrong patient", "wrong study", "unreadable")
_SIDES = ("left", "top", "right", "bottom")
# As `TriviumError` writes it: field or tag, rule, the value's class, what to do.
_REASON = re.compile(
    r"(?:(?P<tag>\S+(?: \([0-9a-f]{4},[0-9a-f]{4}\))?|header before \S+ \(7fe0,0010\)): )?"
    r"(?P<rule>.+?)(?: \(got (?P<value>.+)\))?(?:\.(?: (?P<remedy>.+))?)?",
    re.DOTALL,
)


def held(client: TriviumClient, labels: Labels) -> None:
    """Draw both lists, and the object that is open."""
    request = PageRequest(limit=ROWS, offset=parts.offset(_HELD_PAGE, ROWS))
    page = parts.ask(labels, lambda: client.call("medical", "list_held", request))
    if page is not None:
        st.subheader(labels("held.waiting", total=page.total), anchor=False)
        st.caption(labels("held.note"))
        if page.objects:
            chosen = _table(labels, page.objects)
            parts.pager(page.total, key=_HELD_PAGE, size=ROWS)
            if chosen.state == "held" and client.may("medical.show_held"):
                _decide(client, labels, chosen)
        else:
            parts.empty(labels("held.none"), labels("held.none_hint"))
    _refusals(client, labels)


def _table(labels: Labels, objects: list[HeldObject]) -> HeldObject:
    """Draw the list; returns the object that the person chose, or else the first."""
    rows = pd.DataFrame([_row(labels, one) for one in objects])
    drawn: Any = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="held.table")
    picked = drawn.selection.rows
    return objects[picked[0] if picked and picked[0] < len(objects) else 0]


def _row(labels: Labels, one: HeldObject) -> dict[str, object]:
    tag, _, rule = told(labels, one.reason)
    because = f": {labels(f'discard.{one.discarded_because}')}" if one.discarded_because else ""
    return {
        labels("held.state"): labels(f"held.{one.state}") + because,
        labels("held.tag"): tag,
        labels("held.rule"): rule,
        labels("held.places"): len(one.places),
        labels("medical.modality"): one.modality,
        labels("medical.origin"): labels(f"origin.{one.origin}"),
        labels("medical.received"): parts.when(one.received_at),
        labels("held.by"): f"{one.decided_by}, {parts.when(one.decided_at)}" if one.decided_at else "",
    }


def told(labels: Labels, reason: str) -> tuple[str, str, str]:
    """A reason's field or tag and value, "" where it names none, and its rule with what to do."""
    found = _REASON.fullmatch(reason)
    assert found  # it matches any text
    rule, remedy = labels.said(found["rule"]), found["remedy"]
    return found["tag"] or "", found["value"] or "", f"{rule}. {labels.said(remedy)}" if remedy else rule


# --- a decision ------------------------------------------------------------------------------------------------------


def _decide(client: TriviumClient, labels: Labels, one: HeldObject) -> None:
    """The pixels, on demand; beside them the regions to paint over, and release or discard in a person's name."""
    with st.container(border=True):
        left, right = st.columns([6, 5], gap="large")
        with right:
            masks = _masks(labels, one)
            _release(client, labels, one, masks)
            _discard(client, labels, one)
        with left:
            _picture(client, labels, one, masks)


def _masks(labels: Labels, one: HeldObject) -> list[TextPlace]:
    """The regions to paint over: where text was found, until the person changes them."""
    st.markdown(f"**{labels('held.masks')}**")
    st.caption(labels("held.masks_hint"))
    places = [place.model_dump() for place in one.places]  # a frame is searched more than once
    found = pd.DataFrame(places, columns=["frame", *_SIDES]).astype("Int64").drop_duplicates(ignore_index=True)
    edited = st.data_editor(found, num_rows="dynamic", hide_index=True, key=f"held.masks.{one.held_id}")
    rows = edited.dropna(subset=list(_SIDES)).astype(object).to_dict("records")
    return [
        TextPlace.model_construct(
            frame=None if pd.isna(row["frame"]) else int(row["frame"]),
            left=int(row["left"]), top=int(row["top"]), right=int(row["right"]), bottom=int(row["bottom"]),
        )
        for row in rows
    ]  # fmt: skip


def _picture(client: TriviumClient, labels: Labels, one: HeldObject, masks: list[TextPlace]) -> None:
    frame = st.slider(labels("medical.frame"), 1, one.frames) if one.frames > 1 else 1
    # Kept for this session alone: each person who looks is on record.
    seen: dict[tuple[str, int], bytes] = st.session_state.setdefault(_SEEN, {})
    if (one.held_id, frame) not in seen:
        st.caption(labels("held.look_hint"))
        if not st.button(labels("held.look"), icon=":material/visibility:"):
            return
        request = HeldImageRequest(held_id=one.held_id, frame=frame)
        file: Artifact | None = parts.ask(labels, lambda: client.call("medical", "show_held", request))
        if file is None:
            return
        seen[one.held_id, frame] = file.content
        st.rerun()
    boxes = [mask for mask in masks if mask.frame in (None, frame)]
    key = f"{one.held_id}.{frame}"
    component("viewer")(
        data=picture_data(labels, key, seen[one.held_id, frame], regions=[_region(labels, box) for box in boxes]),
        key=f"held.viewer.{one.held_id}",
    )


def _region(labels: Labels, box: TextPlace) -> dict[str, Any]:
    """A rectangle of pixels, borders included, as components/viewer.js draws it."""
    left, top, right, bottom = box.left, box.top, box.right + 1, box.bottom + 1
    points = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return {
        "finding_id": "", "label": labels("held.mask"), "shape": "polyline", "points": points,
        "presence": "present", "tone": "reader",
    }  # fmt: skip


def _release(client: TriviumClient, labels: Labels, one: HeldObject, masks: list[TextPlace]) -> None:
    with st.form(f"held.release.{one.held_id}"):
        name = st.text_input(labels("held.name"), max_chars=64)
        attest = st.checkbox(labels("held.attest", count=one.frames))
        sent = st.form_submit_button(labels("held.release", count=len(masks)), type="primary")
        if not masks:
            st.caption(labels("held.no_masks"))
    if not sent:
        return
    request = ReleaseRequest.model_construct(held_id=one.held_id, name=name.strip(), attest=attest, masks=masks)
    done = parts.ask(labels, lambda: client.call("medical", "release_held", request), waiting=labels("medical.reading"))
    if done is not None:
        _forget(one)
        st.session_state[STUDY] = done.study_id
        st.toast(labels("held.was_released"))
        st.rerun()


def _discard(client: TriviumClient, labels: Labels, one: HeldObject) -> None:
    with st.form(f"held.discard.{one.held_id}"):
        reason = st.selectbox(
            labels("held.because"),
            _REASONS,
            format_func=lambda each: labels(f"discard.{each}"),
            key=f"why.{one.held_id}",
        )
        name = st.text_input(labels("held.name"), max_chars=64, key=f"held.discarder.{one.held_id}")
        sent = st.form_submit_button(labels("held.discard"))
        st.caption(labels("held.discard_hint"))
    if not sent:
        return
    request = DiscardRequest.model_construct(held_id=one.held_id, name=name.strip(), reason=reason)
    if parts.ask(labels, lambda: client.call("medical", "discard_held", request)) is not None:
        _forget(one)
        st.toast(labels("held.was_discarded"))
        st.rerun()


def _forget(one: HeldObject) -> None:
    """Pixels with text do not stay in the session once they are decided on."""
    kept = st.session_state.get(_SEEN, {})
    st.session_state[_SEEN] = {key: png for key, png in kept.items() if key[0] != one.held_id}


# --- refused ---------------------------------------------------------------------------------------------------------


def _refusals(client: TriviumClient, labels: Labels) -> None:
    request = PageRequest(limit=ROWS, offset=parts.offset(_REFUSED_PAGE, ROWS))
    page = parts.ask(labels, lambda: client.call("medical", "list_refusals", request))
    if page is None:
        return
    st.subheader(labels("held.refusals", total=page.total), anchor=False)
    st.caption(labels("held.refusals_note"))
    if not page.refusals:
        parts.empty(labels("held.no_refusals"), labels("held.no_refusals_hint"))
        return
    rows = []
    for one in page.refusals:
        tag, value, rule = told(labels, one.reason)
        rows.append(
            {
                labels("medical.received"): parts.when(one.received_at),
                labels("held.source"): labels(f"source.{one.source}"),
                labels("held.tag"): tag,
                labels("held.value"): value,
                labels("held.rule"): rule,
                labels("held.id"): one.refusal_id,
            }
        )
    config = {labels("held.rule"): st.column_config.TextColumn(width="large")}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=config)
    parts.pager(page.total, key=_REFUSED_PAGE, size=ROWS)
