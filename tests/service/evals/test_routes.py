"""Reports over HTTP: one's own alone, with the scope for it, and a page that a browser lets do nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api import create_app
from tests.dashboards import fake_evals
from tests.fake_kit import make_kit

REPORT = fake_evals.reports()[0]
RUN = REPORT["run"]["run_id"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    kit = make_kit(Path(tmp_path_factory.mktemp("home")), {})
    fake_evals.store([REPORT], sessions=kit.sessions, folder=kit.settings.reports)
    keys = {
        "own": kit.keys.issue(tenant="demo", label="t", scopes=("evals.read",)),
        "other": kit.keys.issue(tenant="bank", label="t"),
        "narrow": kit.keys.issue(tenant="demo", label="t", scopes=("finance.*",)),
    }
    with TestClient(create_app(kit)) as client:
        yield lambda path, key: client.get(path, headers={"Authorization": f"Bearer {keys[key]}"})


def test_a_run_is_listed_and_its_report_comes_as_json_and_as_a_page(served) -> None:
    (run,) = served("/v1/evals/runs", "own").json()
    page = served(f"/v1/evals/runs/{RUN}/page", "own")

    assert (run["run_id"], run["target"], run["is_baseline"]) == (RUN, None, False)
    assert run["started_at"].endswith("+00:00")  # on every engine
    assert served(f"/v1/evals/runs/{RUN}", "own").json() == REPORT
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert RUN in page.text


@pytest.mark.parametrize("path", [f"/v1/evals/runs/{RUN}", f"/v1/evals/runs/{RUN}/page"])
def test_a_report_is_its_tenants_alone_and_needs_the_scope(served, path: str) -> None:
    assert served(path, "other").status_code == 404
    assert served(path, "narrow").status_code == 403
