"""The client sends what the contract says and turns every failure into an ApiError, over a fake transport."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.client import ApiError, Artifact, TriviumClient, UploadedFile
from verticals.finance import schemas as finance
from verticals.medical import schemas as medical
from verticals.support import schemas as support

Answer = Callable[[httpx.Request], httpx.Response]
PROBLEM = {
    "type": "about:blank",
    "title": "Invalid input",
    "status": 422,
    "detail": "duration_months: must be at least 1",
    "field": "duration_months",
    "value": "0",
    "rule": "must be at least 1",
    "remedy": "Give the term in months.",
    "request_id": "r-1",
    "errors": [{"field": "duration_months", "rule": "must be at least 1"}],
}


class Wire:
    """A transport that keeps the requests and gives one answer."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self.answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def request(self) -> httpx.Request:
        assert len(self.requests) == 1
        return self.requests[0]


def client(wire: Wire) -> TriviumClient:
    return TriviumClient("http://api.test/", "tvm_secret", httpx.MockTransport(wire))


def answering(status: int = 200, **kwargs: Any) -> Wire:
    return Wire(httpx.Response(status, **kwargs))


def chat(*lines: str) -> Wire:
    body = "".join(f"data: {line}\n\n" for line in lines)
    return answering(text=body, headers={"content-type": "text/event-stream"})


ASK = support.ChatRequest(messages=[support.Message(role="user", content="How long?")])
DELTA = '{"type":"delta","text":"30 days [1]."}'


def test_a_post_sends_its_request_as_json_with_the_key() -> None:
    wire = answering(json={"hits": []})

    found = client(wire).call("support", "search", support.SearchRequest(query="returns", k=3))

    assert found == support.SearchResponse(hits=[])
    assert (wire.request.method, wire.request.url.path) == ("POST", "/v1/support/search")
    assert wire.request.headers["authorization"] == "Bearer tvm_secret"
    assert json.loads(wire.request.content) == {"query": "returns", "k": 3}


def test_a_get_puts_names_into_the_path_and_the_rest_into_the_query() -> None:
    wire = answering(content=b"\x89PNG", headers={"content-type": "image/png"})
    request = medical.RenderRequest(study_id="a/b?c", window_center=40.5)

    found = client(wire).call("medical", "render", request)

    assert found == Artifact(b"\x89PNG", "image/png", "download")
    assert wire.request.url.raw_path.startswith(b"/v1/medical/studies/a%2Fb%3Fc/image?")
    assert dict(wire.request.url.params) == {"window_center": "40.5", "frame": "1"}


def test_a_delete_sends_no_body() -> None:
    wire = answering(json={"doc_id": "gift-cards", "deleted": True})

    client(wire).call("support", "delete_document", support.DeleteDocumentRequest(doc_id="gift-cards"))

    assert (wire.request.method, wire.request.url.path) == ("DELETE", "/v1/support/documents/gift-cards")
    assert wire.request.content == b""


def test_names_in_the_path_are_not_repeated_in_the_body() -> None:
    wire = answering(422, json=PROBLEM)
    request = medical.SignReportRequest(report_id="r-1", signer="Dr. A", attest=True, expected_version=2)

    with pytest.raises(ApiError, match="Invalid input"):
        client(wire).call("medical", "sign_report", request)

    assert wire.request.url.path == "/v1/medical/reports/r-1/sign"
    assert json.loads(wire.request.content) == {"signer": "Dr. A", "attest": True, "expected_version": 2}


def test_an_upload_is_sent_as_multipart_with_its_other_fields() -> None:
    wire = answering(415, json={"title": "Unsupported media"})
    file = UploadedFile(filename="ct.dcm", content=b"\x00\xffDICM", media_type="application/dicom")

    with pytest.raises(ApiError, match="Unsupported media"):
        client(wire).call("medical", "ingest_study", medical.IngestRequest(file=file, origin="synthetic"))

    body = wire.request.content
    assert wire.request.headers["content-type"].startswith("multipart/form-data")
    assert b'name="file"; filename="ct.dcm"' in body
    assert b"\x00\xffDICM" in body
    assert b'name="origin"\r\n\r\nsynthetic' in body


def test_a_file_answer_keeps_its_name_and_kind() -> None:
    headers = {"content-type": "text/csv", "content-disposition": 'attachment; filename="scored.csv"'}
    wire = answering(content=b"a,b", headers=headers)
    file = UploadedFile(filename="in.csv", content=b"a", media_type="text/csv")

    found = client(wire).call("finance", "score_batch", finance.BatchRequest(file=file))

    assert found == Artifact(b"a,b", "text/csv", "scored.csv")


def test_a_problem_carries_field_rule_and_remedy() -> None:
    with pytest.raises(ApiError) as raised:
        client(answering(422, json=PROBLEM)).call("finance", "model", finance.ModelRequest())

    error = raised.value
    assert (error.status, error.title, error.field, error.value) == (422, "Invalid input", "duration_months", "0")
    assert (error.rule, error.remedy) == ("must be at least 1", "Give the term in months.")
    assert (error.request_id, list(error.errors)) == ("r-1", PROBLEM["errors"])
    assert str(error) == "Invalid input (422): duration_months: must be at least 1"


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "[]", ""])
def test_an_error_that_is_no_problem_document_is_still_an_api_error(body: str) -> None:
    with pytest.raises(ApiError, match=r"Request failed \(502\)"):
        client(answering(502, text=body)).verticals()


def test_a_service_that_is_away_is_an_api_error() -> None:
    with pytest.raises(ApiError, match="cannot be reached") as raised:
        client(Wire(httpx.ConnectError("refused"))).health()

    assert raised.value.status == 0
    assert raised.value.remedy


def test_a_service_that_is_too_slow_is_an_api_error() -> None:
    with pytest.raises(ApiError, match="did not answer in time"):
        client(Wire(httpx.ReadTimeout("slow"))).verticals()


def test_an_answer_of_another_shape_names_where_it_differs() -> None:
    with pytest.raises(ApiError, match=r"SearchResponse\.hits is not as declared"):
        client(answering(json={"hits": 3})).call("support", "search", support.SearchRequest(query="x"))


def test_a_stream_gives_typed_events_until_done() -> None:
    done = '{"type":"done","finish_reason":"stop","usage":{},"answered":true,"conversation_id":"c-1"}'
    wire = chat(DELTA, done, "[DONE]", '{"type":"delta","text":"after the end"}')

    events = list(client(wire).stream("support", "chat", ASK))

    assert [event.root.type for event in events] == ["delta", "done"]  # type: ignore[attr-defined]


def test_a_problem_in_mid_stream_follows_the_events_before_it() -> None:
    wire = chat(DELTA, json.dumps({"type": "error", "error": PROBLEM}, separators=(",", ":")))
    events = client(wire).stream("support", "chat", ASK)

    assert next(events).root.text == "30 days [1]."  # type: ignore[attr-defined]
    with pytest.raises(ApiError, match="must be at least 1"):
        next(events)


def test_a_stream_that_breaks_off_is_an_error() -> None:
    with pytest.raises(ApiError, match="broke off"):
        list(client(chat(DELTA)).stream("support", "chat", ASK))


def test_a_refused_stream_is_an_error_before_any_event() -> None:
    with pytest.raises(ApiError, match="Invalid input"):
        next(client(answering(422, json=PROBLEM)).stream("support", "chat", ASK))


def test_closing_a_stream_closes_its_connection() -> None:
    class Endless(httpx.SyncByteStream):
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield f"data: {DELTA}\n\n".encode()

        def close(self) -> None:
            self.closed = True

    body = Endless()
    events = client(answering(stream=body)).stream("support", "chat", ASK)
    next(events)

    events.close()  # type: ignore[attr-defined]

    assert body.closed


@pytest.mark.parametrize(
    ("vertical", "operation", "request_", "message"),
    [
        ("astrology", "ask", ASK, "no vertical named 'astrology'"),
        ("support", "sing", ASK, "support has no operation 'sing'; it has chat, "),
        ("support", "chat", ASK, "needs `stream`"),
        ("support", "search", ASK, "takes SearchRequest, not ChatRequest"),
    ],
)
def test_a_wrong_call_says_what_exists(vertical: str, operation: str, request_: Any, message: str) -> None:
    wire = answering(json={})

    with pytest.raises(ValueError, match=message):
        client(wire).call(vertical, operation, request_)

    assert wire.requests == []


def test_an_operation_known_by_its_schema_alone_can_be_sent() -> None:
    wire = answering(json={"heads": 2})

    assert client(wire).send("POST", "/v1/coins/toss/{coin}", {"coin": "p/1", "times": 4}) == {"heads": 2}

    assert wire.request.url.raw_path == b"/v1/coins/toss/p%2F1"
    assert json.loads(wire.request.content) == {"times": 4}


def test_a_stream_known_by_its_schema_alone_gives_its_events() -> None:
    assert client(chat("1", "2", "[DONE]")).send("POST", "/v1/coins/count", {}) == [1, 2]


def test_health_and_runs_are_plain_json() -> None:
    assert client(answering(json={"status": "ok"})).health() == {"status": "ok"}
    assert client(answering(json=[{"run_id": "a"}])).eval_runs() == [{"run_id": "a"}]


def test_a_customers_key_is_asked_for_by_name() -> None:
    wire = answering(json={"key": "tvm_x", "customer": "C-1", "expires_at": "2026-11-22T13:00:00Z"})

    assert client(wire).customer_key("C-1")["key"] == "tvm_x"

    assert (wire.request.method, wire.request.url.path) == ("POST", "/v1/customer-keys")
    assert json.loads(wire.request.content) == {"customer": "C-1"}


def test_what_may_be_done_is_asked_once_and_without_an_answer_all_is_shown() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json={"scopes": ["finance.score", "audit.*"]})

    client = TriviumClient("http://api", "key", httpx.MockTransport(answer))
    away = TriviumClient("http://api", "key", httpx.MockTransport(lambda _: httpx.Response(503)))

    scopes = ("finance.score", "finance.*", "audit.read", "finance.model", "medical.*")

    assert [client.may(scope) for scope in scopes] == [True, True, True, False, False]
    assert asked == ["/v1/me"]
    assert away.may("finance.score")


def test_examples_are_those_that_the_operation_declares() -> None:
    wire = answering(json={})

    examples = client(wire).examples("finance", "score")

    assert examples
    assert all(finance.ScoreRequest.model_validate(body) for body in examples.values())
    assert wire.requests == []
