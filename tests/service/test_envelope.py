"""What is told of a request names whom it asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service.api import create_app
from tests.fake_kit import make_kit
from tests.service.fake_support import FakeSupport

SAID = {"role": "user", "content": "hi"}
AGENT, MODEL = "trivium-support", "trivium-core"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home: Path = tmp_path_factory.mktemp("home")
    kit = make_kit(home, {"support": FakeSupport().vertical()}, replies=["Hello."] * 9)
    key = kit.keys.issue(tenant="acme", label="test")
    yield TestClient(create_app(kit), headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False)
    kit.close()


def counted(client: TestClient) -> Counter[tuple[str, str]]:
    """Requests so far by route and vertical, but for those of this function."""
    families = {each.name: each for each in text_string_to_metric_families(client.get("/metrics").text)}
    found = Counter[tuple[str, str]]()
    for sample in families["trivium_http_requests"].samples:
        if sample.name.endswith("_total") and sample.labels["route"] != "/metrics":
            found[sample.labels["route"], sample.labels["vertical"]] += int(sample.value)
    return found


@pytest.mark.parametrize(
    ("method", "route", "body", "vertical"),
    [
        ("POST", "/v1/chat/completions", {"model": AGENT, "messages": [SAID]}, "support"),
        ("POST", "/v1/chat/completions", {"model": AGENT, "messages": [SAID], "stream": True}, "support"),
        ("POST", "/v1/chat/completions", {"model": MODEL, "messages": [SAID]}, "core"),
        ("POST", "/v1/chat/completions", {"messages": "none"}, "core"),
        ("POST", "/v1/responses", {"model": AGENT, "input": "hi"}, "support"),
        ("POST", "/v1/responses", {"model": MODEL, "input": "hi"}, "core"),
        ("POST", "/v1/support/search", {"query": "lamps"}, "support"),
        ("POST", "/webhooks/{channel}", {}, "support"),
        ("GET", "/v1/models", None, "service"),
        ("GET", "/livez", None, "service"),
    ],
)
def test_a_request_counts_for_whom_it_asked(
    client: TestClient, method: str, route: str, body: dict[str, Any] | None, vertical: str
) -> None:
    before = counted(client)

    client.request(method, route.replace("{channel}", "generic"), json=body)

    assert counted(client) - before == {(route, vertical): 1}
