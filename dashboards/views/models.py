"""Models: which version answers, what is on trial, what was seen of it, and the steps. Ignores how they are taken."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboards import parts
from dashboards.i18n import Labels
from service.client import TriviumClient

ROUTE = "/v1/admin/models/registered"
NONE = "none"
ACTIONS = ("shadow", "canary", "full", "roll-back")
Z = 1.96


def render(client: TriviumClient, labels: Labels) -> None:
    """Draw the page."""
    st.caption(labels("models.what"))
    found = parts.ask(labels, lambda: client.send("GET", ROUTE, {}))
    if not found:
        return
    st.dataframe(pd.DataFrame([_row(labels, model) for model in found]), hide_index=True)
    names = [model["name"] for model in found]
    chosen = st.selectbox(labels("models.choose"), names, key="models.chosen")
    model = parts.ask(labels, lambda: client.send("GET", ROUTE + "/{name}", {"name": chosen}))
    if model is None:
        return
    if model["fault"]:
        st.error(parts.plain(labels.said(model["fault"])), icon=":material/error:")
    left, right = st.columns([2, 3], gap="large")
    with left:
        _standing(labels, model)
        if client.may("models.rollout"):
            _step_form(client, labels, model)
    with right:
        _history(labels, model)


def _row(labels: Labels, model: dict[str, Any]) -> dict[str, str]:
    step = model["step"]
    return {
        labels("models.model"): model["name"],
        labels("models.serving"): _named(labels, model["serving"]),
        labels("models.state"): _state(labels, step),
        labels("models.trial"): step["version"] if _is_on_trial(step) else "",
        labels("models.fault"): labels("models.faulty") if model["fault"] else "",
    }


def _named(labels: Labels, version: str) -> str:
    return labels("models.none") if version == NONE else version


def _is_on_trial(step: dict[str, Any] | None) -> bool:
    return step is not None and step["state"] in ("shadow", "canary")


def _state(labels: Labels, step: dict[str, Any] | None) -> str:
    if step is None:
        return labels("models.step.none")
    return labels(f"models.step.{step['state']}", share=f"{step['share']:.0%}")


def _standing(labels: Labels, model: dict[str, Any]) -> None:
    step, before = model["step"], model["before"]
    rows = [
        (labels("models.serving"), _named(labels, model["serving"])),
        (labels("models.state"), _state(labels, step)),
    ]
    if _is_on_trial(step):
        rows.append((labels("models.trial"), step["version"]))
    if before and before[0] != model["serving"]:
        rows.append((labels("models.before"), _named(labels, before[0])))
    parts.facts(rows)
    seen = _seen(labels, step, model["counts"]) if step else []
    if seen:
        st.caption(labels("models.seen"))
        parts.intervals(seen)
    if texts := _texts(labels, model["counts"]):
        parts.facts(texts)


def _seen(labels: Labels, step: dict[str, Any], counts: dict[str, int]) -> list[parts.IntervalRow]:
    old, new = counts.get("old", 0), counts.get("new", 0)
    rows = []
    if step["state"] == "canary" and old + new:
        note = labels("models.share_note", new=new, all=old + new)
        rows.append(_rate(labels("models.share", asked=f"{step['share']:.0%}"), new, old + new, note, step["share"]))
        for name, failed, of in (("new", counts.get("new_failed", 0), new), ("old", counts.get("old_failed", 0), old)):
            if of:
                rows.append(_rate(labels(f"models.failed_{name}"), failed, of, f"{failed} / {of}"))
    compared = counts.get("same", 0) + counts.get("different", 0)
    if compared:
        told = {name: counts.get(name, 0) for name in ("different", "skipped", "failed")}
        note = labels("models.shadow_note", all=compared, **told)
        rows.append(_rate(labels("models.different"), told["different"], compared, note))
    return rows


def _texts(labels: Labels, counts: dict[str, int]) -> list[tuple[str, str]]:
    """How long the core's two editions took in the shadow, and how much they said; the means of what was compared."""
    compared = counts.get("same", 0) + counts.get("different", 0) + counts.get("sampled", 0)
    if not compared or "old_ms" not in counts:
        return []
    means = {name: counts[name] / compared for name in ("old_ms", "new_ms", "old_tokens", "new_tokens")}
    return [
        (labels("models.same_start"), f"{counts.get('same_start', 0):,} / {compared - counts.get('sampled', 0):,}"),
        (labels("models.seconds"), f"{means['old_ms'] / 1e3:.2f} s → {means['new_ms'] / 1e3:.2f} s"),
        (labels("models.tokens"), f"{means['old_tokens']:.1f} → {means['new_tokens']:.1f}"),
    ]


def _rate(name: str, successes: int, trials: int, note: str, asked: float | None = None) -> parts.IntervalRow:
    """A share with Wilson's interval (1927)."""
    share, weight = successes / trials, 1 + Z**2 / trials
    middle = (share + Z**2 / (2 * trials)) / weight
    half = Z / weight * (share * (1 - share) / trials + Z**2 / (4 * trials**2)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return parts.IntervalRow(name, share, low, high, (0.0, 1.0), baseline=asked, note=note, form=".1%")


def _step_form(client: TriviumClient, labels: Labels, model: dict[str, Any]) -> None:
    st.subheader(labels("models.take"), anchor=False)
    step = model["step"]
    action = st.segmented_control(
        labels("models.action"),
        ACTIONS,
        default="roll-back" if _is_on_trial(step) else "shadow",
        format_func=lambda name: labels(f"models.action.{name}"),
        key=f"models.action.{model['name']}",
    )
    with st.form("models.step", border=False):
        fields: dict[str, Any] = {"name": model["name"]}
        if action != "roll-back":
            others = [card["version"] for card in model["versions"] if card["version"] != model["serving"]]
            on_trial = [step["version"]] if _is_on_trial(step) else others
            nothing = labels("models.no_other")
            fields["version"] = st.selectbox(
                labels("models.version"), on_trial, placeholder=nothing, disabled=not on_trial
            )
        if action == "canary":
            percent = st.slider(labels("models.canary_share"), 1, 100, 10, format="%d %%")
            fields["share"] = percent / 100
        fields["person"] = st.text_input(labels("models.person"), max_chars=64)
        fields["reason"] = st.text_input(labels("models.reason"), max_chars=1000)
        can_do = action == "roll-back" or fields["version"] is not None
        sent = st.form_submit_button(labels("models.do"), type="primary", disabled=not can_do)
    if sent and action:
        taken = parts.ask(labels, lambda: client.send("POST", f"{ROUTE}/{{name}}/{action}", fields))
        if taken is not None:
            st.session_state["models.done"] = _state(labels, taken), taken["version"]
            st.rerun()
    if done := st.session_state.pop("models.done", None):
        st.success(labels("models.done", state=done[0], version=done[1]), icon=":material/check:")


def _history(labels: Labels, model: dict[str, Any]) -> None:
    if model["versions"]:
        st.subheader(labels("models.versions"), anchor=False)
        st.dataframe(pd.DataFrame([_card(labels, card) for card in model["versions"]]), hide_index=True)
    if model["steps"]:
        st.subheader(labels("models.steps"), anchor=False)
        st.dataframe(pd.DataFrame([_told(labels, step) for step in model["steps"]]), hide_index=True)
    if model["differences"]:
        st.subheader(labels("models.differences"), anchor=False)
        rows = [
            {
                labels("models.field"): name,
                labels("models.old"): str(old),
                labels("models.new"): str(new),
                labels("models.request"): one["request_id"],
            }
            for one in model["differences"]
            for name, (old, new) in one["values"].items()
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True)


def _card(labels: Labels, card: dict[str, Any]) -> dict[str, str]:
    figures = "; ".join(f"{name} {_figure(value)}" for name, value in card.get("metrics", {}).items())
    return {
        labels("models.version"): card["version"],
        labels("models.parent"): card.get("parent") or "",
        labels("models.registered"): card.get("registered_at", "")[:16].replace("T", " "),
        labels("models.trained_on"): card.get("trained_on", ""),
        labels("models.data"): "; ".join(f"{name} {sha256[:12]}" for name, sha256 in card.get("data", {}).items()),
        labels("models.command"): card.get("command", ""),
        labels("models.recipe"): card.get("recipe", ""),
        labels("models.metrics"): figures,
        labels("models.fault"): card.get("fault", ""),
    }


def _figure(value: Any) -> str:
    """A number, or one with its interval."""
    if isinstance(value, list) and len(value) == 3 and all(isinstance(each, int | float) for each in value):
        return f"{value[0]:.3g} ({value[1]:.3g} – {value[2]:.3g})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _told(labels: Labels, step: dict[str, Any]) -> dict[str, str]:
    return {
        labels("models.at"): step["at"][:16].replace("T", " "),
        labels("models.state"): _state(labels, step),
        labels("models.version"): _named(labels, step["version"]),
        labels("models.who"): step["person"],
        labels("models.why"): step["reason"],
    }
