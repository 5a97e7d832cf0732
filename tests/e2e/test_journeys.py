"""One journey a profession, as its user goes it: real process, real models, real browser, real client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pydicom
import pytest
from pydicom.data import get_testdata_file
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.e2e.browser import find, parts_of, press, settle, shown_image
from tests.e2e.conftest import Running, start, stop

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def api(kit_up: Running) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {kit_up.key}"}
    with httpx.Client(base_url=kit_up.api_url, headers=headers, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(kit_up: Running) -> openai.OpenAI:
    http = httpx.Client(trust_env=False, timeout=120)
    return openai.OpenAI(base_url=f"{kit_up.api_url}/v1", api_key=kit_up.key, http_client=http, max_retries=0)


# --- through the browser ---------------------------------------------------------------------------------------------


def test_an_analyst_scores_an_applicant_and_reads_the_reasons(kit_up: Running, browser: Chrome) -> None:
    browser.get(f"{kit_up.page_url}/finance")
    settle(browser)
    press(browser, "Strained")
    press(browser, "Score")

    find(browser, "Where the score stands")
    find(browser, "Principal reasons why the score is not higher")
    press(browser, "Decisions")
    find(browser, "1 decisions, newest first")


def test_a_radiologist_sets_the_window_and_is_told_that_there_is_no_model(kit_up: Running, browser: Chrome) -> None:
    browser.get(f"{kit_up.page_url}/medical")
    settle(browser)
    find(browser, "Research software, not a medical device")
    find(browser, "No model available.")
    before = shown_image(browser)
    parts_of(browser, ".viewer .tool")[1].click()  # the second preset

    WebDriverWait(browser, 30).until(lambda _: shown_image(browser) != before)


def test_a_customer_gets_a_cited_answer_with_its_sources_beside_it(kit_up: Running, browser: Chrome) -> None:
    browser.get(f"{kit_up.page_url}/support")
    settle(browser)
    box = browser.find_element(By.CSS_SELECTOR, "[data-testid='stChatInput'] textarea")
    box.send_keys("How long do I have to return a lamp?", Keys.ENTER)

    find(browser, "30 days", timeout_s=120)
    settle(browser)
    find(browser, "cited")


def test_another_language_translates_who_speaks_and_keeps_the_open_tab(kit_up: Running, browser: Chrome) -> None:
    browser.get(f"{kit_up.page_url}/support")
    settle(browser)
    press(browser, "Trace")
    press(browser, "中文")
    find(browser, "发言者")

    chosen = browser.find_element(By.CSS_SELECTOR, "[data-testid='stSelectbox'] input").get_attribute("value")
    opened = browser.find_element(By.CSS_SELECTOR, "[role='tab'][aria-selected='true']").text
    press(browser, "English")
    assert (chosen, opened) == ("未知访客", "轨迹")


def test_the_home_page_says_what_works_and_the_evaluation_page_what_to_run(kit_up: Running, browser: Chrome) -> None:
    browser.get(kit_up.page_url)
    settle(browser)
    find(browser, "State of the parts")
    browser.get(f"{kit_up.page_url}/evaluation")
    settle(browser)
    find(browser, "No evaluation run yet")


# --- through the API -------------------------------------------------------------------------------------------------


def test_the_openai_client_gets_the_same_cited_answer_whole_and_streamed(client: openai.OpenAI) -> None:
    question = [{"role": "user", "content": "How long do I have to return a lamp?"}]
    whole = client.chat.completions.create(model="trivium-support", messages=question)  # type: ignore[arg-type]
    chunks = [*client.chat.completions.create(model="trivium-support", messages=question, stream=True)]  # type: ignore[arg-type]

    text = whole.choices[0].message.content or ""
    assert "30 days" in text
    assert "[1]" in text
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text


def test_the_agent_says_so_when_it_does_not_know(client: openai.OpenAI) -> None:
    question = [{"role": "user", "content": "What is the boiling point of mercury at two atmospheres?"}]
    answer = client.chat.completions.create(model="trivium-support", messages=question)  # type: ignore[arg-type]

    assert answer.model_extra is not None
    assert answer.model_extra["trivium"]["answered"] is False


def test_an_application_is_scored_refused_when_wrong_and_recorded(api: httpx.Client) -> None:
    (score,) = [
        operation
        for vertical in api.get("/v1/verticals").json()
        for operation in vertical["operations"]
        if (vertical["name"], operation["name"]) == ("finance", "score")
    ]
    example = next(iter(score["examples"].values()))
    scored = api.post("/v1/finance/score", json=example).json()
    refused = api.post("/v1/finance/score", json={**example, "duration_months": -3})

    assert 0 < scored["prob_default"] < 1
    assert 1 <= len(scored["reasons"]) <= 4
    total = scored["base_points"] + sum(part["points"] for part in scored["contributions"])
    assert total == pytest.approx(scored["points_exact"], abs=1e-9)
    assert (refused.status_code, refused.json()["field"]) == (422, "duration_months")
    assert api.get("/v1/audit/verify").json()["broken_at"] is None


def test_a_dicom_study_becomes_a_signed_report_and_two_exports(api: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "ct.dcm"
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.PatientName = "Planted^Name"
    dataset.save_as(path)
    study = api.post("/v1/medical/studies", files={"file": ("ct.dcm", path.read_bytes())}).json()
    report = study["report"]
    typed = {"comparison": "Compared with the earlier study.", "findings": "Normal.", "impression": "Normal study."}
    sections = {**report["sections"], **typed}
    edited = api.put(
        f"/v1/medical/reports/{report['report_id']}",
        json={"sections": sections, "expected_version": report["version"]},
    ).json()
    signing = {"signer": "Dr. A. Reader", "attest": True, "expected_version": edited["version"]}
    signed = api.post(f"/v1/medical/reports/{report['report_id']}/sign", json=signing).json()
    again = api.put(
        f"/v1/medical/reports/{report['report_id']}",
        json={"sections": sections, "expected_version": signed["version"]},
    )

    assert signed["state"] == "FINAL"
    assert again.status_code == 409
    assert "Planted" not in json.dumps(study)
    structured = api.get(f"/v1/medical/reports/{report['report_id']}/export", params={"format": "sr"})
    assert structured.content[128:132] == b"DICM"
    bundle = api.get(f"/v1/medical/reports/{report['report_id']}/export", params={"format": "fhir"}).json()
    assert "final" in json.dumps(bundle)


def test_a_file_that_is_no_dicom_is_refused_with_the_reason(api: httpx.Client) -> None:
    refused = api.post("/v1/medical/studies", files={"file": ("x.dcm", b"not a dicom file" * 100)})

    assert refused.status_code in (415, 422)
    assert refused.json()["rule"]


# --- starting and stopping -------------------------------------------------------------------------------------------


def test_ctrl_c_stops_both_servers_and_the_next_start_keeps_everything(kit_up: Running, api: httpx.Client) -> None:
    entries = api.get("/v1/audit/verify").json()["entries"]
    assert stop(kit_up) == 0
    for url in (kit_up.api_url, kit_up.page_url):
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, trust_env=False)

    again = start(kit_up.home)
    checked = httpx.get(
        f"{again.api_url}/v1/audit/verify", headers={"Authorization": f"Bearer {again.key}"}, trust_env=False
    ).json()
    assert (checked["entries"], checked["broken_at"]) == (entries + 1, None)  # the new start's demo key
    assert stop(again) == 0
