"""Metrics count what happened, logs never carry what was said."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel, ValidationError

from core_model.timeline import Timeline
from service.errors import describe_error
from service.monitoring import Metrics, configure_logging
from verticals.contract import InvalidInput

SECRET = "Jane Doe owes 4711"


@dataclass
class FakeStats:
    running: int = 0
    waiting: int = 0
    paused: int = 0
    pages_total: int = 0
    pages_free: int = 0
    pages_cached: int = 0
    preemptions_total: int = 0
    drafted_tokens_total: int = 9
    accepted_tokens_total: int = 7
    cached_prompt_tokens_total: int = 0
    prompt_tokens_total: int = 0
    generated_tokens_total: int = 0


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def _lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_requests_are_counted_by_route_method_and_status(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)

    metrics.observe_request(vertical="finance", route="/v1/finance/score", method="POST", status=200, duration_s=0.02)
    metrics.observe_request(vertical="finance", route="/v1/finance/score", method="POST", status=422, duration_s=0.3)

    labels = {"vertical": "finance", "route": "/v1/finance/score", "method": "POST"}
    assert registry.get_sample_value("trivium_http_requests_total", {**labels, "status": "422"}) == 1
    assert registry.get_sample_value("trivium_http_request_duration_seconds_count", labels) == 2
    bucket = registry.get_sample_value("trivium_http_request_duration_seconds_bucket", {**labels, "le": "0.025"})
    assert bucket == 1


def test_the_engine_is_read_at_each_scrape_and_not_before(registry: CollectorRegistry) -> None:
    calls = []

    def stats() -> FakeStats:
        calls.append(1)
        return FakeStats(running=len(calls), waiting=7, generated_tokens_total=100 * len(calls))

    metrics = Metrics(registry)
    metrics.watch_engine(stats)
    assert not calls
    metrics.render()
    body, media_type = metrics.render()

    samples = {s.name: s.value for f in text_string_to_metric_families(body.decode()) for s in f.samples}
    assert samples["trivium_engine_running_requests"] == 2
    assert samples["trivium_engine_waiting_requests"] == 7
    assert samples["trivium_generated_tokens_total"] == 200
    assert media_type.startswith("text/plain")


def test_a_scrape_reports_how_evenly_each_layers_experts_are_used() -> None:
    metrics = Metrics(CollectorRegistry())
    metrics.watch_experts(lambda: {1: [10, 10, 10, 10], 2: [40, 0, 0, 0]})

    def value(figure: str, layer: str) -> float | None:
        return metrics.registry.get_sample_value(f"trivium_expert_{figure}", {"layer": layer})

    assert [value("entropy", layer) for layer in ("1", "2")] == [pytest.approx(1), 0]
    assert [value("max_over_mean", layer) for layer in ("1", "2")] == [1, 4]
    assert [value("num_dead", layer) for layer in ("1", "2")] == [0, 3]
    assert value("tokens_total", "2") == 40


def test_tokens_and_the_wait_for_the_first_are_counted_by_vertical(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    times = {"queued_ns": 10**9, "first_token_ns": 3 * 10**9}
    timeline = Timeline(model_version="a-int8+bias-7", **times, num_prompt=7, num_cached=2, num_generated=5)  # type: ignore[arg-type]

    metrics.observe_generation("support", timeline)
    metrics.observe_generation("support", Timeline(num_prompt=1))  # cancelled before its first token

    def tokens(kind: str) -> float | None:
        return registry.get_sample_value("trivium_tokens_total", {"vertical": "support", "kind": kind})

    edition = {"edition": "a-int8", "kind": "generated"}
    assert [tokens(kind) for kind in ("prompt", "cached", "generated")] == [8, 2, 5]
    assert registry.get_sample_value("trivium_core_tokens_total", edition) == 5
    assert registry.get_sample_value("trivium_first_token_seconds_sum", {"vertical": "support"}) == 2
    assert registry.get_sample_value("trivium_first_token_seconds_count", {"vertical": "support"}) == 1


def test_traffic_is_told_by_vertical_with_its_errors_and_durations(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)
    for status, duration_s in ((200, 0.004), (404, 0.02), (500, 0.02), (503, 1000.0)):
        metrics.observe_request(vertical="finance", route="/x", method="GET", status=status, duration_s=duration_s)

    seen = metrics.traffic()["finance"]
    metrics.observe_request(vertical="finance", route="/x", method="GET", status=200, duration_s=0.02)

    assert (seen.requests, seen.errors) == (4, 2)
    assert [i for i, count in enumerate(seen.buckets) for _ in range(count)] == [0, 2, 2, 13]


def test_the_memory_of_the_process_is_a_metric(registry: CollectorRegistry) -> None:
    metrics = Metrics(registry)

    assert metrics.resident_bytes() > 10 * 2**20
    assert b"process_resident_memory_bytes" in metrics.render()[0]


def test_two_services_in_one_process_do_not_share_figures() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    first.observe_request(vertical="service", route="/healthz", method="GET", status=200, duration_s=0.01)

    labels = {"vertical": "service", "route": "/healthz", "method": "GET", "status": "200"}
    assert first.registry.get_sample_value("trivium_http_requests_total", labels) == 1
    assert second.registry.get_sample_value("trivium_http_requests_total", labels) is None


def test_a_request_id_marks_events_of_its_request_only_and_follows_into_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", json=True)
    log = structlog.get_logger("service.api")

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        worker = threading.Thread(target=copy_context().run, args=(log.info, "in a thread"))
        worker.start()
        worker.join()
    log.info("outside")

    inside, outside = _lines(capsys.readouterr().err)
    assert inside["request_id"] == "req-1"
    assert "request_id" not in outside


@pytest.mark.parametrize(
    "fields",
    [
        {"body": SECRET},
        {"Prompt": SECRET},
        {"detail": {"name": SECRET}},
        {"rows": [SECRET]},
        {"raw": SECRET.encode()},
        {"note": SECRET * 20},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_fields_that_could_hold_a_body_are_removed(
    fields: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", json=True)

    structlog.get_logger("service.api").info("event", path="/v1/x", **fields)

    (line,) = _lines(capsys.readouterr().err)
    assert "Jane" not in json.dumps(line)
    assert "removed" in str(line[next(iter(fields))])
    assert line["path"] == "/v1/x"


def test_personal_data_in_short_fields_and_in_the_event_itself_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", json=True)

    structlog.get_logger("service.api").info("bounced: ana@mail.example", path="/v1/customers/ana@mail.example")

    (line,) = _lines(capsys.readouterr().err)
    assert (line["event"], line["path"]) == ("bounced: [email 1]", "/v1/customers/[email 1]")


@pytest.mark.parametrize("source", ["structlog", "logging"])
@pytest.mark.parametrize("as_json", [True, False])
def test_an_exception_is_logged_by_type_and_place_without_its_message(
    source: str, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    class Applicant(BaseModel):
        age: int

    configure_logging("info", json=as_json)
    try:
        Applicant.model_validate({"age": SECRET})
    except ValidationError:
        (structlog.get_logger("service.api") if source == "structlog" else logging.getLogger("some.library")).exception(
            "crashed"
        )

    printed = capsys.readouterr().err
    assert "Jane" not in printed
    assert "ValidationError at pydantic" in printed
    assert "test_monitoring" in printed  # the call path


def test_library_loggers_that_print_urls_or_bodies_stay_quiet_when_debugging(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("debug", json=True)

    logging.getLogger("uvicorn.access").info("GET /v1/x?name=Jane")
    logging.getLogger("openai._base_client").debug("Request options: Jane")
    structlog.get_logger("service.api").debug("ours")

    (line,) = _lines(capsys.readouterr().err)
    assert line["event"] == "ours"


def test_events_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", json=True)

    structlog.get_logger("service.api").info("quiet")
    logging.getLogger("other").info("quiet too")

    assert capsys.readouterr().err == ""


def test_a_line_that_finds_the_disk_full_is_lost_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115  (closing it would fail, too)
    monkeypatch.setattr(sys, "stderr", full)
    configure_logging("info", json=True)

    structlog.get_logger().info("one")
    structlog.get_logger().info("another")

    with suppress(OSError):
        full.close()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level: must be one of debug, info, warning, error \(got 'loud'\)"):
        configure_logging("loud", json=True)


def test_our_own_errors_keep_their_message() -> None:
    assert describe_error(InvalidInput("must be positive", field="amount")) == "amount: must be positive."


def test_importing_the_module_sets_nothing_up() -> None:
    code = (
        "import logging, service.monitoring, prometheus_client as p;"
        "assert not logging.getLogger().handlers;"
        "assert 'trivium' not in p.generate_latest(p.REGISTRY).decode()"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
