"""The few-shot studio: teach a finding, see what its methods are worth, bring one into use. Ignores how they learn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from dashboards.views.medical_few_shot_charts import roc_chart, score_chart
from service.client import TriviumClient, UploadedFile
from verticals.medical.fewshot.schemas import (
    DisableFewShotRequest,
    EnableFewShotRequest,
    FewShotFinding,
    FewShotReading,
    FewShotRequest,
    Figure,
    Modality,
    ReadFewShotRequest,
    RollBackFewShotRequest,
    TrainedVersion,
    TrainFewShotRequest,
)

CHOSEN = "few_shot.chosen"
_RATES = ("calibration_error", "coverage_present", "coverage_absent", "one_answer", "gate_passed")


def studio(client: TriviumClient, labels: Labels) -> None:
    """Draw the page: what is taught on the left, one finding on the right."""
    st.caption(labels("few_shot.what"))
    found = parts.ask(labels, lambda: client.call("medical", "list_few_shot", FewShotRequest()))
    if found is None:
        return
    left, right = st.columns([2, 5], gap="large")
    if client.may("medical.train_few_shot"):
        with left:
            _teach(client, labels)
    with right:
        if found.findings:
            _finding(client, labels, _chosen(labels, found.findings), least_auc=found.least_auc)
        else:
            parts.empty(labels("few_shot.empty"), labels("few_shot.empty_hint"))


def _teach(client: TriviumClient, labels: Labels) -> None:
    st.subheader(labels("few_shot.teach"), anchor=False)
    with st.form("few_shot.teach", border=False):
        file = st.file_uploader(labels("few_shot.file"), type=["zip"], help=labels("few_shot.file_help"))
        finding = st.text_input(labels("few_shot.finding"), max_chars=64)
        modality = st.selectbox(labels("medical.modality"), get_args(Modality), index=3)
        body_part = st.text_input(labels("medical.body_part"), value="CHEST")
        licence = st.text_input(labels("few_shot.licence"), help=labels("few_shot.licence_help"))
        sent = st.form_submit_button(labels("few_shot.train"), type="primary")
    if not sent:
        return
    if file is None:
        st.info(labels("few_shot.missing"))
        return
    # Sent as typed, so that the API names the field and the rule that a bad value breaks.
    request = TrainFewShotRequest.model_construct(
        file=UploadedFile(filename=file.name, content=file.getvalue(), media_type="application/zip"),
        finding=finding,
        modality=modality,
        body_part=body_part.upper(),
        licence=licence,
    )
    waiting = labels("few_shot.training")
    answer = parts.ask(labels, lambda: client.call("medical", "train_few_shot", request), waiting=waiting)
    if answer is not None:
        st.session_state[CHOSEN] = answer.finding.finding
        st.toast(labels("few_shot.trained"))
        st.rerun()


def _chosen(labels: Labels, findings: Sequence[FewShotFinding]) -> FewShotFinding:
    by_name = {one.finding: one for one in findings}
    if st.session_state.get(CHOSEN) not in by_name:
        st.session_state[CHOSEN] = findings[0].finding
    return by_name[st.selectbox(labels("few_shot.choose"), list(by_name), key=CHOSEN)]


def _finding(client: TriviumClient, labels: Labels, one: FewShotFinding, *, least_auc: float) -> None:
    in_use = labels("few_shot.in_use", version=one.enabled) if one.enabled else labels("few_shot.none_in_use")
    st.badge(in_use, color="green" if one.enabled else "gray")
    _side_by_side(labels, _of_one_set(labels, one), least_auc=least_auc)
    if client.may("medical.enable_few_shot"):
        _switches(client, labels, one)
    with st.expander(f"{labels('few_shot.versions')} ({len(one.versions)})"):
        st.dataframe(versions_table(labels, one), hide_index=True)
    if one.switches:
        with st.expander(f"{labels('few_shot.history')} ({len(one.switches)})"):
            st.dataframe(switches_table(labels, one), hide_index=True)


def _of_one_set(labels: Labels, one: FewShotFinding) -> list[TrainedVersion]:
    """The versions that learned from the same images, which the reader chose if there are several sets."""
    sets: dict[str, list[TrainedVersion]] = {}
    for version in one.versions:
        sets.setdefault(version.data_sha256, []).append(version)
    if len(sets) == 1:
        return one.versions[::-1]

    def said(sha256: str) -> str:
        first = sets[sha256][0]
        return labels(
            "few_shot.set_of", at=parts.when(first.trained_at), images=first.train.images + first.validation.images
        )

    return sets[st.selectbox(labels("few_shot.images"), list(sets), format_func=said)][::-1]


# --- the methods side by side ---------------------------------------------------------------------------------------


def _side_by_side(labels: Labels, versions: Sequence[TrainedVersion], *, least_auc: float) -> None:
    checked = versions[0].validation
    st.caption(labels("few_shot.auc", images=checked.images, patients=checked.patients, least=least_auc))
    parts.intervals([_auc_row(labels, one, least_auc) for one in versions])
    for one in versions:
        if one.refusals:
            why = "; ".join(labels.said(reason) for reason in one.refusals)
            st.caption(f"**{_method(labels, one)}** · {labels('few_shot.why')}: {parts.plain(why)}")
    left, right = st.columns(2, gap="large")
    curves = {_method(labels, one): one.figures.roc for one in versions}
    left.caption(labels("few_shot.roc"))
    left.altair_chart(
        roc_chart(curves, parts.palette(), x=labels("few_shot.false_positives"), y=labels("few_shot.true_positives")),
        theme=None,
    )
    with right:
        shown = versions[0]
        if len(versions) > 1:
            method = st.segmented_control(
                labels("few_shot.method"),
                list(curves),
                default=next(iter(curves)),
                required=True,
                label_visibility="collapsed",
            )
            shown = next(one for one in versions if _method(labels, one) == method)
        st.caption(labels("few_shot.scores", method=_method(labels, shown)))
        counts = {labels(f"presence.{name}"): getattr(shown.figures, name) for name in ("absent", "present")}
        st.altair_chart(score_chart(counts, parts.palette(), x=labels("few_shot.prob")), theme=None)
    with st.expander(labels("few_shot.figures")):
        _card(labels, shown)


def _auc_row(labels: Labels, one: TrainedVersion, least_auc: float) -> parts.IntervalRow:
    auc = one.figures.auc
    return parts.IntervalRow(
        _method(labels, one), auc.value, auc.low, auc.high, (0.4, 1.0),
        baseline=least_auc, note=one.version, verdict=_state(labels, one),
        tone="bad" if one.refusals else "good", form=".3f",
    )  # fmt: skip


def _card(labels: Labels, one: TrainedVersion) -> None:
    rows = [_rate_row(labels, name, getattr(one.figures, name)) for name in _RATES]
    if one.figures.gain is not None:
        gain = one.figures.gain
        edge = max(abs(gain.low), abs(gain.high), 0.05)
        rows.insert(
            0,
            parts.IntervalRow(
                labels("few_shot.gain"), gain.value, gain.low, gain.high, (-edge, edge), baseline=0.0, form="+.3f"
            ),
        )
    parts.intervals(rows)
    parts.facts(
        [
            (labels("few_shot.scope"), f"{one.modality} · {one.body_part}"),
            (labels("few_shot.learned"), labels("few_shot.counts", **one.train.model_dump())),
            (labels("few_shot.validated"), labels("few_shot.counts", **one.validation.model_dump())),
            (labels("few_shot.licence"), one.licence),
            (labels("few_shot.limits"), labels.said(one.limits)),
        ]
    )


def _rate_row(labels: Labels, name: str, rate: Figure) -> parts.IntervalRow:
    baseline = 0.9 if name.startswith("coverage") else None
    return parts.IntervalRow(
        labels(f"few_shot.{name}"), rate.value, rate.low, rate.high, (0.0, 1.0), baseline=baseline, form=".1%"
    )


# --- switches ---------------------------------------------------------------------------------------------------------


def _switches(client: TriviumClient, labels: Labels, one: FewShotFinding) -> None:
    allowed = {each.version: each for each in one.versions if not each.refusals and not each.enabled}
    st.subheader(labels("few_shot.switch"), anchor=False)
    with st.form("few_shot.switch", border=False):
        version = st.selectbox(
            labels("few_shot.version"),
            list(allowed),
            format_func=lambda name: f"{name} · {_method(labels, allowed[name])}",
            placeholder=labels("few_shot.none_allowed"),
            disabled=not allowed,
        )
        left, right = st.columns([1, 2])
        name = left.text_input(labels("few_shot.name"))
        reason = right.text_input(labels("few_shot.reason"), help=labels("few_shot.reason_help"))
        with st.container(horizontal=True):
            enable = st.form_submit_button(labels("few_shot.enable"), type="primary", disabled=not allowed)
            disable = st.form_submit_button(labels("few_shot.disable"), disabled=one.enabled is None)
            back = st.form_submit_button(labels("few_shot.roll_back"), disabled=not _may_roll_back(one))
    told: dict[str, Any] = {"finding": one.finding, "name": name, "reason": reason}
    if enable:
        _ask(client, labels, "enable_few_shot", EnableFewShotRequest.model_construct(**told, version=version))
    elif disable:
        _ask(client, labels, "disable_few_shot", DisableFewShotRequest.model_construct(**told))
    elif back:
        _ask(client, labels, "roll_back_few_shot", RollBackFewShotRequest.model_construct(**told))


def _may_roll_back(one: FewShotFinding) -> bool:
    return bool(one.switches) and one.switches[0].step != "roll back"


def _ask(client: TriviumClient, labels: Labels, operation: str, request: DisableFewShotRequest) -> None:
    if parts.ask(labels, lambda: client.call("medical", operation, request)) is not None:
        st.rerun()


def versions_table(labels: Labels, one: FewShotFinding) -> pd.DataFrame:
    """One line a version."""
    return pd.DataFrame(
        [
            {
                labels("few_shot.version"): each.version,
                labels("few_shot.method"): _method(labels, each),
                labels("few_shot.at"): parts.when(each.trained_at),
                "AUC": f"{each.figures.auc.value:.3f} ({each.figures.auc.low:.3f} – {each.figures.auc.high:.3f})",
                labels("few_shot.state"): _state(labels, each),
            }
            for each in one.versions
        ]
    )


def switches_table(labels: Labels, one: FewShotFinding) -> pd.DataFrame:
    """One line a switch."""
    return pd.DataFrame(
        [
            {
                labels("few_shot.at"): parts.when(each.at),
                labels("few_shot.step"): labels(f"few_shot_step.{each.step}"),
                labels("few_shot.version"): each.version or labels("few_shot.none_in_use"),
                labels("few_shot.name"): each.name,
                labels("few_shot.reason"): each.reason,
            }
            for each in one.switches
        ]
    )


def _state(labels: Labels, one: TrainedVersion) -> str:
    return labels(f"few_shot.{'enabled' if one.enabled else 'forbidden' if one.refusals else 'allowed'}")


def _method(labels: Labels, one: TrainedVersion) -> str:
    return labels(f"few_shot_method.{one.method}")


# --- beside a study ---------------------------------------------------------------------------------------------------


def own_findings(client: TriviumClient, labels: Labels, study_id: str) -> None:
    """What the findings in use say of a study, once the reader asks: research beside the report, never in it."""
    key = f"few_shot.readings.{study_id}"
    with st.expander(labels("few_shot.panel"), icon=":material/experiment:"):
        st.caption(labels("few_shot.panel_what"))
        if st.button(labels("few_shot.read"), key=f"few_shot.read.{study_id}"):
            question = partial(client.call, "medical", "read_few_shot", ReadFewShotRequest(study_id=study_id))
            answer = parts.ask(labels, question, waiting=labels("few_shot.reading"))
            st.session_state[key] = answer.readings if answer is not None else None
        readings: list[FewShotReading] | None = st.session_state.get(key)
        if readings is None:
            return
        if not readings:
            st.caption(labels("few_shot.none"))
        parts.facts([(one.finding, reading_text(labels, one)) for one in readings])


def reading_text(labels: Labels, one: FewShotReading) -> str:
    """One line: probability and set, or why it was not read."""
    if one.prob is None:
        return labels("few_shot.refused", why=labels.said(one.refusal))
    answers = ", ".join(labels(f"presence.{answer}") for answer in one.confidence_set)
    auc = one.auc
    said = labels(
        "few_shot.says", prob=one.prob, answers=answers or labels("few_shot.no_answer"), version=one.version,
        auc=auc.value, low=auc.low, high=auc.high,
    )  # fmt: skip
    return f"{said} · {labels('few_shot.share', share=one.share_present)}"
