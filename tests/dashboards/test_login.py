"""With an issuer set, people log in, see what their roles open, and the API is asked with their own token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import dashboards
from service.client import TriviumClient
from service.roles import ROLES
from tests.dashboards.conftest import Api, open_page, run, texts

APP = Path(dashboards.__file__).parent / "app.py"


def _token(api: Api, *roles: str, tenant: str = "demo") -> str:
    """What the API takes for a person of these roles; that it takes an issuer's tokens is tested with the API."""
    return api.issue(tenant, [scope for role in roles for scope in ROLES[role]])


def _open(api: Api, monkeypatch: pytest.MonkeyPatch, **user: Any) -> AppTest:
    monkeypatch.setattr(sys, "argv", [str(APP), "--api-url", api.url])
    app = AppTest.from_file(str(APP))
    app.user = user
    return run(app)


def _logged_in(api: Api, monkeypatch: pytest.MonkeyPatch, token: str) -> AppTest:
    return _open(api, monkeypatch, is_logged_in=True, name="Ann *Lee*", tokens={"access": token})


def _links(app: AppTest) -> list[str]:
    return [link.label.strip("*") for link in app.page_link]


def test_who_is_not_logged_in_sees_only_the_way_in_in_both_languages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _open(api, monkeypatch, is_logged_in=False)

    assert [button.label for button in app.button] == ["Log in"]
    assert _links(app) == []
    app.segmented_control[0].set_value("zh")
    assert [button.label for button in run(app).button] == ["登录"]


def test_every_address_that_a_link_may_lead_to_asks_to_log_in(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[set[str]] = []
    navigate = st.navigation

    def noted(pages: list[Any], **how: Any) -> Any:
        addresses.append({page.url_path for page in pages})
        return navigate(pages, **how)

    monkeypatch.setattr(st, "navigation", noted)
    _logged_in(api, monkeypatch, _token(api, "operator"))
    _open(api, monkeypatch, is_logged_in=False)

    seen, asking = addresses
    assert "operations" in seen
    assert seen <= asking


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("analyst", ["Finance"]),
        ("admin", ["Finance", "Medical", "Support", "Coins", "Evaluation", "Audit"]),
    ],
)
def test_a_role_sees_its_views(api: Api, monkeypatch: pytest.MonkeyPatch, role: str, seen: list[str]) -> None:
    app = _logged_in(api, monkeypatch, _token(api, role))

    assert _links(app) == seen
    assert not app.warning
    assert "Log out" in [button.label for button in app.button]


def test_who_has_no_role_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _logged_in(api, monkeypatch, api.issue("demo", []))

    assert "No role here yet" in texts(app)
    assert _links(app) == []


def test_a_token_that_is_over_asks_to_log_in_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _logged_in(api, monkeypatch, "tvm_0123456789ab_over")

    assert "Your log-in has expired" in texts(app)
    assert [button.label for button in app.button] == ["Log in"]


# --- buttons ----------------------------------------------------------------------------------------------------------


def _as(api: Api, *roles: str) -> Api:
    return Api(api.url, _token(api, *roles), api.issue)


def test_the_first_and_the_second_person_have_their_own_tabs_and_buttons(api: Api) -> None:
    for role, is_first in (("analyst", True), ("approver", False)):
        page = open_page("finance", _as(api, role), tab="decisions")

        assert ("Decide otherwise" in [one.label for one in page.expander]) is is_first
        assert ("Batch" in [one.label for one in page.tabs]) is is_first


def test_who_may_only_look_at_studies_neither_edits_nor_signs(api: Api) -> None:
    reading = ["medical.list_studies", "medical.get_study", "medical.prior", "medical.pixels"]
    looker = Api(api.url, api.issue("demo", reading), api.issue)

    page = open_page("medical", looker)

    assert {"Sign", "Save"} & {button.label for button in page.button} == set()
    assert [tab.label for tab in page.tabs if tab.label in ("Reading", "Held and refused")] == ["Reading"]


def test_who_may_only_read_the_trail_exports_and_replays_nothing(api: Api) -> None:
    page = open_page("audit", Api(api.url, api.issue("demo", ["audit.read", "audit.verify"]), api.issue))
    page.query_params["record"] = "1"

    assert {"Prepare", "Make it again"} & {button.label for button in run(page).button} == set()


# --- one person's answers are not another's ---------------------------------------------------------------------------


def test_what_is_kept_of_answers_is_kept_apart_by_who_asked(api: Api) -> None:
    from dashboards.views.evaluation import _report

    ours, theirs = (TriviumClient(api.url, _token(api, "auditor", tenant=tenant)) for tenant in ("demo", "other"))
    outsider = TriviumClient(api.url, api.issue("demo", ["finance.*"]))
    run_id = ours.eval_runs()[0]["run_id"]
    _report(ours, ours.who, run_id)

    assert len({one.who for one in (ours, theirs, outsider)}) == 3
    with pytest.raises(Exception, match="403"):
        _report(outsider, outsider.who, run_id)
