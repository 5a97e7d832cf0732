"""A person logs in at an issuer, sees what their role opens, and logs out: real pages, real tokens, real browser.

Not of the suite, which has no time for it: python -m pytest tests/e2e/login_journey.py
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

import dashboards
from service.settings import Settings
from service.up import log_in_settings
from tests.conftest import served, wait_for
from tests.dashboards.fake_api import make_app as make_api
from tests.e2e import fake_login
from tests.e2e.browser import find, press, settle
from tests.ports import free_port

pytestmark = pytest.mark.e2e
APP = Path(dashboards.__file__).parent / "app.py"


@pytest.fixture(scope="module")
def page_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("login")
    issuer_url, port = f"http://127.0.0.1:{free_port()}", free_port()
    settings = {
        "oidc_issuer": issuer_url,
        "oidc_audience": "trivium",
        "oidc_client_id": fake_login.CLIENT_ID,
        "oidc_client_secret": fake_login.CLIENT_SECRET,
        "dashboard_port": port,
    }
    with ExitStack() as running:
        issuer, _ = fake_login.make_app(issuer_url)
        running.enter_context(served(issuer, port=int(issuer_url.rpartition(":")[2])))
        api, _ = make_api(home, settings=settings)
        api_url = running.enter_context(served(api))
        log_in = home / "secrets.toml"
        log_in.write_text(log_in_settings(Settings(**settings)))
        options = {
            "server.port": port,
            "server.address": "127.0.0.1",
            "server.headless": "true",
            "secrets.files": log_in,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        child = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(APP), *words, "--", "--api-url", api_url], cwd=APP.parent
        )
        running.callback(child.wait, 20)
        running.callback(child.terminate)
        url = f"http://127.0.0.1:{port}"
        assert wait_for(lambda: _answers(f"{url}/_stcore/health"), timeout_s=60)
        yield url


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _log_in(browser: Chrome, page_url: str, name: str) -> None:
    browser.get(page_url)
    settle(browser)
    find(browser, "Log in", tag="p").click()  # leads to the issuer, whose page has no Streamlit to wait for
    find(browser, name, tag="a").click()
    find(browser, name)
    settle(browser)


def _links(browser: Chrome) -> set[str]:
    found = browser.find_elements(By.CSS_SELECTOR, "[data-testid='stPageLink']")
    return {one.text.split("\n")[-1] for one in found if one.text}  # before it stands the icon's name


def test_a_person_logs_in_sees_their_part_and_logs_out(page_url: str, browser: Chrome) -> None:
    _log_in(browser, page_url, "Rae Radiologist")
    assert _links(browser) == {"Medical"}

    press(browser, "Rae Radiologist")
    find(browser, "Radiologist", tag="p")
    find(browser, "Log out", tag="p").click()
    find(browser, "Log in", tag="p")
    browser.get(f"{page_url}/finance")  # a link of before
    find(browser, "Log in", tag="p")
    assert "Page not found" not in browser.page_source

    _log_in(browser, page_url, "Ann Analyst")
    assert _links(browser) == {"Finance"}
