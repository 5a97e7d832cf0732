"""The summary says what matters in few lines, is signed, tried again, and never fatal."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import httpx
import pytest

from service.evals.report_schema import Report
from service.evals.summary import markdown, send_summary
from service.settings import Settings
from service.webhooks.signatures import verify_standard
from tests.dashboards import fake_evals

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


@pytest.fixture(scope="module")
def report() -> Report:
    return Report.model_validate(fake_evals.reports()[0])


def _settings(home: Path) -> Settings:
    return Settings(home=home, eval_webhook_url="https://chat.example.org/hook", eval_webhook_secret=SECRET)


def test_regressions_come_first_and_every_domain_is_named(report: Report) -> None:
    lines = markdown(report).splitlines()

    assert "1 to look at" in lines[0]
    assert lines[2] == "- worse: support/retrieval recall\\@5 0.850 (−0.060 since last)"
    assert "better: support/retrieval nDCG\\@5" in markdown(report)
    assert "- medical: 1 skipped" in lines


def test_a_name_cannot_write_markup_or_call_people(report: Report) -> None:
    domains = [report.domains[0].model_copy(update={"name": "[x](http://a) @all\n# head"})]

    text = markdown(report.model_copy(update={"domains": domains}))

    assert "\\[x\\](http://a) \\@all \\# head" in text


def test_the_summary_is_signed_and_sent_once(report: Report, tmp_path: Path) -> None:
    seen: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    with httpx.Client(transport=httpx.MockTransport(receive)) as client:
        assert send_summary(report, _settings(tmp_path), client=client, sleep=lambda seconds: None) is None

    (request,) = seen
    now = float(request.headers["webhook-timestamp"])
    assert verify_standard(SECRET, headers=request.headers, body=request.content, now=now) == report.run.run_id
    sent = json.loads(request.content)
    assert (sent["type"], sent["data"]["exit_code"]) == ("evaluation.finished", 1)
    assert sent["data"]["text"] == markdown(report)


def test_a_receiver_that_is_busy_is_tried_again_and_one_that_is_away_is_named(report: Report, tmp_path: Path) -> None:
    slept: list[float] = []
    answers = iter((503, 503, 200))
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(next(answers)))) as client:
        assert send_summary(report, _settings(tmp_path), client=client, sleep=slept.append) is None
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(500))) as client:
        reason = send_summary(report, _settings(tmp_path), client=client, sleep=lambda seconds: None)

    assert slept == [0.0, 2.0, 10.0]
    assert reason == "the receiver answers 500."
