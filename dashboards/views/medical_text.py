"""The report's sentences with what links them to the image. Ignores how they are drawn (components/linked.js)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import streamlit as st

from dashboards.components import component
from dashboards.i18n import Labels
from dashboards.views.medical_viewer import go_to, place_name, place_of
from verticals.medical.reading_schemas import PixelsResponse
from verticals.medical.schemas import Fault, LinkedSentence, ReportResponse, StudyResponse

LINKED = ("findings", "impression")


def linked_text(labels: Labels, study: StudyResponse, shown: PixelsResponse | None, *, sections: Sequence[str]) -> None:
    """Draw the sections. Pointing at a sentence lights its regions; a click on one that lies elsewhere goes there."""
    key = f"medical.linked.{study.study_id}"

    def go() -> None:
        finding_id = st.session_state[key].chosen
        found = place_of(study, finding_id) if finding_id else None
        if found is not None:
            go_to(study, found)

    component("linked")(data=linked_data(labels, study.report, shown, sections=sections), key=key, on_chosen_change=go)


def linked_data(
    labels: Labels, report: ReportResponse, shown: PixelsResponse | None, *, sections: Sequence[str]
) -> dict[str, Any]:
    """All that components/linked.js needs, as JSON has it."""
    return {
        "labels": {"remark": labels("report.remark")},
        "sections": [
            {"label": labels(f"section.{name}"), "parts": list(_parts(labels, report, name, shown))}
            for name in sections
        ],
    }


def _parts(
    labels: Labels, report: ReportResponse, section: str, shown: PixelsResponse | None
) -> Iterator[dict[str, Any]]:
    """The section's text in pieces, in order: sentences with what they state, and what lies between them."""
    text = getattr(report.sections, section)
    sentences = [one for one in report.sentences if one.section == section]
    remarks = [one for one in report.remarks if one.section == section]
    done = 0
    for sentence in sentences:
        if sentence.start > done:
            yield _plain(text[done : sentence.start])
        own = [one for one in remarks if sentence.start <= one.start < sentence.end]
        yield {
            "text": text[sentence.start : sentence.end],
            "ids": list(sentence.finding_ids),
            "title": _title(labels, report, sentence),
            "remarks": [_remark(labels, one) for one in own],
            "is_located": bool(sentence.regions),
            "goes_to": _elsewhere(report, sentence, shown),
        }
        done = sentence.end
    if done < len(text):
        yield _plain(text[done:])


def _plain(text: str) -> dict[str, Any]:
    return {"text": text, "ids": [], "title": "", "remarks": [], "is_located": False, "goes_to": None}


def _elsewhere(report: ReportResponse, sentence: LinkedSentence, shown: PixelsResponse | None) -> str | None:
    """The first finding of the sentence if none of its regions is in the frame that is shown."""
    if shown is None or not sentence.regions:
        return None
    here = (shown.sop_instance_uid, shown.frame)
    if any((region.sop_instance_uid, region.frame) == here for region in sentence.regions):
        return None
    return next(i for i in sentence.finding_ids if report.evidence[i].regions)


def _title(labels: Labels, report: ReportResponse, sentence: LinkedSentence) -> str:
    """What a sentence states and who says so, a finding a line."""
    lines = []
    for finding_id in sentence.finding_ids:
        finding = report.evidence[finding_id]
        said = [place_name(labels, finding.kind, finding.side), labels(f"presence.{finding.presence}")]
        if finding.prob is not None:
            said.append(labels("report.prob", prob=f"{finding.prob:.0%}"))
        said += [f"{one.name} {one.value:.4g} {one.unit}" for one in finding.measurements]
        said.append(labels("report.by_reader") if finding.model == "reader" else finding.model)
        lines.append(f"{finding_id}: {' · '.join(said)}")
    codes = ", ".join(f"{code.scheme} {code.value}" for code in sentence.codes)
    return "\n".join([*lines, codes] if codes else lines)


def _remark(labels: Labels, remark: Fault) -> str:
    return f"{labels(f'fault.{remark.kind}')}: {labels.said(remark.reason)}"
