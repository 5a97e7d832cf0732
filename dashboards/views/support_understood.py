"""Beside the chat: what was understood of the last message, and the session's slots. Ignores how it is read."""

from __future__ import annotations

import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from verticals.support.schemas import SessionHistory, SlotValue, Tone, Understood

COLOURS: dict[Tone, parts.Colour] = {Tone.ANGRY: "red", Tone.FRUSTRATED: "orange", Tone.ANXIOUS: "orange"}


def render(labels: Labels, history: SessionHistory | None) -> None:
    """The last reading of a session; a hint while there is none."""
    read = [one.understood for one in history.messages if one.understood] if history else []
    if not read:
        parts.empty(labels("understood.none"), labels("understood.none_hint"))
        return
    _message(labels, read[-1])
    st.markdown(f"**{labels('understood.slots')}**")
    if read[-1].slots:
        parts.facts(slot_rows(labels, read[-1].slots))
    else:
        st.caption(labels("understood.no_slots"))


def tone_badge(labels: Labels, tone: Tone) -> None:
    """A tone in its colour."""
    st.badge(labels(f"tone.{tone}"), color=COLOURS.get(tone, "gray"))


def intent_name(labels: Labels, intent: str) -> str:
    """An intent of the shop in words; an installation may have trained its own."""
    return labels.get(f"intent.{intent}", intent.replace("_", " "))


def slot_rows(labels: Labels, slots: list[SlotValue]) -> list[tuple[str, str]]:
    """(service and slot, value), as facts."""
    return [
        (
            f"{labels.get(f'service.{one.service}', one.service)} · "
            f"{labels.get(f'slot.{one.slot}', one.slot.replace('_', ' '))}",
            one.value,
        )
        for one in slots
    ]


def in_short(labels: Labels, read: Understood) -> str:
    """One line: intent, tone, slots."""
    intent = [intent_name(labels, read.intent), labels(f"tone.{read.tone}")] if read.intent else []
    return ", ".join([*intent, *dict.fromkeys(f"{one.slot}={one.value}" for one in read.slots)])


def _message(labels: Labels, read: Understood) -> None:
    if read.intent is None:
        st.caption(labels("understood.unread"))
        return
    with st.container(horizontal=True, gap="xsmall"):
        tone_badge(labels, read.tone)
        st.badge(
            labels("understood.in_scope" if read.in_scope else "understood.out_of_scope"),
            color="gray" if read.in_scope else "orange",
        )
    rows = [(labels("understood.intent"), f"{intent_name(labels, read.intent)} · {read.confidence:.0%}")]
    heard = sorted(read.tones.items(), key=lambda one: -one[1])
    tones = [f"{labels(f'tone.{tone}')} {share:.0%}" for tone, share in heard if share]
    rows.append((labels("understood.tone"), ", ".join(tones)))
    emotions = [f"{labels.get(f'emotion.{name}', name)} {share:.0%}" for name, share in read.emotions.items()]
    rows.append((labels("understood.emotions"), ", ".join(emotions) or labels("understood.no_emotions")))
    parts.facts(rows)
