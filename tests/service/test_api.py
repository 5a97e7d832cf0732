"""The API over a made-up vertical: routes, errors, streams, limits, as a real client sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
import structlog

from service.kit import Kit
from tests.service.conftest import Streams


@pytest.fixture
def client(url: str, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as opened:
        yield opened


def test_an_operation_is_a_route_and_its_decision_is_recorded(client: httpx.Client, kit: Kit) -> None:
    answer = client.post("/v1/parcels/weigh", json={"weight_kg": 2})

    assert answer.json() == {"amount_cent": 300, "tenant": "acme"}
    (entry,) = kit.audit.of_kind("acme", "parcels.weigh")
    assert entry["outcome"] == {"amount_cent": 300}
    assert entry["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer tvm_no_such"}, {"Authorization": "Bearer x"}])
def test_no_valid_key_is_401_as_problem_details(url: str, headers: dict[str, str]) -> None:
    answer = httpx.post(f"{url}/v1/parcels/weigh", json={"weight_kg": 2}, headers=headers, trust_env=False)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "Authorization" in answer.json()["field"]


def test_a_key_opens_only_its_scopes(url: str, kit: Kit) -> None:
    narrow = kit.keys.issue(tenant="acme", label="narrow", scopes=["parcels.get"])
    headers = {"Authorization": f"Bearer {narrow}"}

    assert httpx.get(f"{url}/v1/parcels/parcels/p1", headers=headers, trust_env=False).status_code == 200
    refused = httpx.post(f"{url}/v1/parcels/weigh", json={"weight_kg": 2}, headers=headers, trust_env=False)
    assert refused.status_code == 403
    assert refused.json()["value"] == "parcels.weigh"


@pytest.mark.parametrize(
    ("body", "field"),
    [({"weight_kg": -1}, "weight_kg"), ({"weight_kg": 1, "colour": "mauve"}, "colour"), ({}, "weight_kg")],
)
def test_a_bad_field_is_named_and_its_value_not_repeated(client: httpx.Client, body: object, field: str) -> None:
    answer = client.post("/v1/parcels/weigh", json=body)

    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (422, field)
    assert "mauve" not in answer.text
    assert problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("content", "status"), [(b'{"weight_kg": ', 422), (b'{"weight_kg": \xff', 400)])
def test_broken_json_is_a_problem_not_a_crash(client: httpx.Client, content: bytes, status: int) -> None:
    answer = client.post("/v1/parcels/weigh", content=content, headers={"Content-Type": "application/json"})

    assert (answer.status_code, answer.json().get("field", "body")) == (status, "body")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_is_no_utf_8_is_told_so_with_the_remedy(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}

    told = client.post("/v1/parcels/weigh", content=b'{"note": "\xff"}', headers=headers).json()

    assert (told["status"], told["field"], told["rule"]) == (400, "body", "must be UTF-8")
    assert told["remedy"] == "Send JSON encoded as UTF-8."


def test_path_and_query_reach_the_handler(client: httpx.Client) -> None:
    assert client.get("/v1/parcels/parcels/abc", params={"note": "de"}).json()["amount_cent"] == 5


def test_an_error_of_ours_keeps_its_status_field_and_remedy(client: httpx.Client) -> None:
    problem = client.get("/v1/parcels/parcels/lost").json()

    assert (problem["status"], problem["field"], problem["remedy"]) == (404, "parcel_id", "List the parcels.")


def test_a_bug_is_a_plain_500_that_tells_nothing(client: httpx.Client) -> None:
    answer = client.get("/v1/parcels/parcels/boom")

    assert answer.status_code == 500
    assert "Jane" not in answer.text


def test_a_busy_engine_is_503_and_says_when_to_come_back(client: httpx.Client) -> None:
    answer = client.get("/v1/parcels/parcels/busy")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "requests wait already" in answer.json()["detail"]


def test_files_go_in_and_out(client: httpx.Client) -> None:
    answer = client.post("/v1/parcels/label", files={"file": ("a.txt", b"to Anna\n")}, data={"copies": "2"})

    assert answer.content == b"to Anna\nto Anna\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="label__x_.txt"'


def test_a_form_may_have_a_field_called_content(client: httpx.Client) -> None:
    answer = client.post("/v1/parcels/label", files={"file": ("a.txt", b"to Anna")}, data={"content": "Fragile! "})

    assert answer.content == b"Fragile! to Anna"


def test_a_body_over_the_limit_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/parcels/label", files={"file": ("a.txt", b"x" * (1024 * 1024 + 1))})

    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]


def test_a_stream_sends_every_event_then_done(client: httpx.Client) -> None:
    answer = client.post("/v1/parcels/count", json={"to": 3})

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\n"


def test_a_stream_that_fails_at_once_is_an_http_error(client: httpx.Client) -> None:
    assert client.post("/v1/parcels/count", json={"to": 0}).status_code == 409


def test_a_stream_that_fails_midway_ends_with_an_error_event(client: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logged:
        lines = client.post("/v1/parcels/count", json={"to": 20}).text.split("\n\n")

    assert json.loads(lines[13].removeprefix("data: "))["type"] == "error"
    assert "Jane" not in lines[13]
    assert [event["error"] for event in logged if event["event"] == "unexpected failure"] == ["RuntimeError"]


def test_a_handler_stops_when_nobody_listens(client: httpx.Client) -> None:
    Streams.closed.clear()
    with client.stream("POST", "/v1/parcels/count", json={"to": 10**9}) as answer:
        next(answer.iter_lines())

    assert Streams.closed.wait(10)
    assert Streams.sent < 10**9 - 1


def test_the_schema_lists_every_operation_with_its_example(client: httpx.Client) -> None:
    schema = client.get("/openapi.json").json()

    content = schema["paths"]["/v1/parcels/weigh"]["post"]["requestBody"]["content"]["application/json"]
    assert content["examples"]["light"]["value"] == {"weight_kg": 1}
    assert "/v1/parcels/parcels/{parcel_id}" in schema["paths"]


def test_health_and_metrics_need_no_key_and_count_requests(url: str, client: httpx.Client) -> None:
    client.post("/v1/parcels/weigh", json={"weight_kg": 2})

    assert httpx.get(f"{url}/healthz", trust_env=False).json()["status"] == "ok"
    metrics = httpx.get(f"{url}/metrics", trust_env=False).text
    assert (
        'trivium_http_requests_total{method="POST",route="/v1/parcels/weigh",status="200",vertical="parcels"} 1.0'
        in metrics
    )


def test_the_audit_chain_can_be_verified_over_http(client: httpx.Client) -> None:
    client.post("/v1/parcels/weigh", json={"weight_kg": 2})

    found = client.get("/v1/audit/verify").json()

    assert (found["tenant"], found["entries"], found["broken_at"]) == ("acme", 2, None)  # the key's issue, and this


def test_the_verticals_describe_themselves(client: httpx.Client) -> None:
    (described,) = client.get("/v1/verticals").json()

    assert described["name"] == "parcels"
    assert described["operations"][0]["request"]["properties"]["weight_kg"]["maximum"] == 100
