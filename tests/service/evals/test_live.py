"""A live API is asked through the same handlers, patiently, and what cannot be judged through it says so by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import TriviumClient
from service.discovery import discover
from service.evals.declare import declare_domain, judged_live
from service.evals.live import LiveApi, NotAnswered, PatientTransport, live_handlers
from service.evals.runner import run_suite
from service.settings import Settings
from verticals.contract import Context, Metric, Resources, Suite
from verticals.support import VERTICAL
from verticals.support.schemas import ChatRequest, Message, SearchRequest, SearchResponse

CONTEXT = Context(tenant="nobody", actor="evals", request_id="evals", record=lambda *decisions, session=None: None)
NOTHING: Any = None
NOTHING_HERE = Resources(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, None)
ASKED = ChatRequest(messages=[Message(role="user", content="I am Jane Doe")])


def _handlers(answer: httpx.Response, seen: list[httpx.Request]):
    def receive(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer

    return live_handlers(TriviumClient("http://api", "tvm_key", transport=httpx.MockTransport(receive)), VERTICAL)


def test_an_operation_is_asked_over_http_with_the_key() -> None:
    seen: list[httpx.Request] = []
    handlers = _handlers(httpx.Response(200, json={"hits": []}), seen)

    answer = handlers["search"](SearchRequest(query="lamp"), CONTEXT)

    assert isinstance(answer, SearchResponse)
    assert (seen[0].method, seen[0].url.path) == ("POST", "/v1/support/search")
    assert seen[0].headers["authorization"] == "Bearer tvm_key"
    assert "nobody" not in seen[0].read().decode()  # the tenant is the key's


def test_a_stream_gives_its_events() -> None:
    body = 'data: {"type":"delta","text":"hi"}\n\ndata: [DONE]\n\n'
    handlers = _handlers(httpx.Response(200, text=body, headers={"content-type": "text/event-stream"}), [])

    events = list(handlers["chat"](ASKED, CONTEXT))

    assert [event.root.text for event in events] == ["hi"]


def test_a_refusal_names_operation_and_status_and_not_the_request() -> None:
    handlers = _handlers(httpx.Response(403, json={"title": "Permission denied", "status": 403}), [])

    with pytest.raises(NotAnswered, match=r"support\.chat: Permission denied \(403\)") as caught:
        list(handlers["chat"](ASKED, CONTEXT))
    with pytest.raises(NotAnswered, match=r"support\.search: Permission denied \(403\)"):
        handlers["search"](SearchRequest(query="lamp"), CONTEXT)
    assert "Jane" not in str(caught.value)


def _answers(*answers: httpx.Response) -> tuple[httpx.Client, list[float]]:
    slept: list[float] = []
    given = iter(answers)
    inner = httpx.MockTransport(lambda request: next(given))
    return httpx.Client(transport=PatientTransport(inner, sleep=slept.append)), slept


def test_a_busy_api_is_asked_again_after_the_time_it_tells() -> None:
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    client, slept = _answers(
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(503, headers={"Retry-After": in_a_minute}),
        httpx.Response(200),
    )

    assert client.post("http://api/v1", json={}).status_code == 200
    assert slept[0] == 7
    assert 50 < slept[1] <= 60


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "86400"}])
def test_a_busy_api_that_tells_no_time_or_too_long_a_one_is_an_answer(headers: dict[str, str]) -> None:
    client, slept = _answers(httpx.Response(503, headers=headers))

    assert client.get("http://api").status_code == 503
    assert slept == []


def test_an_api_that_stays_busy_is_given_up() -> None:
    client, slept = _answers(*(httpx.Response(429, headers={"Retry-After": "1"}) for _ in range(8)))

    assert client.get("http://api").status_code == 429
    assert len(slept) == 7


def test_a_suite_that_no_operation_reaches_is_skipped_by_name() -> None:
    inside = Suite(
        "geometry", "d", "s", "m", "x", lambda progress: [Metric("m", 1, 1, 1, 1)], inside="it renders arrays"
    )
    through = Suite("grounded", "d", "s", "m", "x", lambda progress: [Metric("m", 1, 1, 1, 1)], operations=("chat",))

    results = [run_suite("medical", suite, lambda what, share: None) for suite in judged_live([inside, through])]

    assert [result.status for result in results] == ["skipped", "ok"]
    assert "not measured through a live API: it renders arrays." in str(results[0].reason)


def test_a_domain_that_cannot_declare_its_suites_has_failed_for_a_live_api_too(tmp_path: Path) -> None:
    def broken(resources: Resources, handlers: Any) -> Sequence[Suite]:
        raise KeyError("Jane Doe")

    verticals = {"broken": replace(VERTICAL, name="broken", evals=broken)}

    [suite] = declare_domain(
        Settings(home=tmp_path),
        "broken",
        verticals,
        lambda vertical: (NOTHING_HERE, {}),
        NOTHING,
        judged_as=judged_live,
    )

    assert run_suite("broken", suite, lambda what, share: None).status == "failed"


def test_every_suite_of_a_vertical_judges_a_live_api_or_says_why_not() -> None:
    for vertical in discover().values():
        operations = {operation.name for operation in vertical.operations}
        for suite in vertical.evals(NOTHING_HERE, {}):
            assert bool(suite.operations) != bool(suite.inside), suite.name
            assert operations >= set(suite.operations)


def test_a_status_comes_through_so_that_a_refused_file_differs_from_a_refused_key() -> None:
    problem = {"title": "Invalid input", "status": 422}
    handlers = _handlers(httpx.Response(422, json=problem), [])

    with pytest.raises(NotAnswered) as caught:
        handlers["search"](SearchRequest(query="lamp"), CONTEXT)

    assert caught.value.status == 422


def test_the_key_goes_nowhere_but_to_the_api() -> None:
    assert "secret" not in repr(LiveApi("http://api", "secret", 4))
