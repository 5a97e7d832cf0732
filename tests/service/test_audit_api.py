"""The trail over HTTP: filtered pages, one entry, files in three formats, replay, erasure; each by its own scope."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from fhir.resources.R4B.auditevent import AuditEvent

from service.api import create_app
from service.audit_files import export
from service.audit_read import AuditFilter
from service.kit import Kit
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS
from verticals.contract import Decision

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    made = make_kit(Path(tmp_path_factory.mktemp("home")), {"parcels": PARCELS})
    for number, subject in enumerate(("app-1", "=cmd|' /C calc'!A0", "app-3"), start=1):
        decision = Decision(
            "finance.score", subject, "ab" * 32, {"decision": "decline", "points": number}, "m@1", "p@1"
        )
        made.audit.record(decision, who={"tenant": "acme", "actor": "key1", "request_id": "r"}, since_s=0.0)
    made.audit.record(
        Decision("medical.export", "rp-1", "ab" * 32, {"format": "fhir"}, "m@2"),
        who={"tenant": "acme", "actor": "key2", "request_id": "r"},
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def ask(kit: Kit) -> Ask:
    """A request with a key of its own scope, in this process."""
    client = TestClient(create_app(kit))

    def send(method: str, path: str, *, scope: str, tenant: str = "acme", **sent: Any) -> httpx.Response:
        key = kit.keys.issue(tenant=tenant, label="test", scopes=[scope], by={"actor": "test", "request_id": "t"})
        found: httpx.Response = client.request(
            method, f"/v1/audit{path}", headers={"Authorization": f"Bearer {key}"}, **sent
        )
        return found

    return send


def subjects(answer: httpx.Response) -> list[str]:
    return [entry["subject"] for entry in answer.json() if entry["kind"] != "keys.issue"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"actor": "key2"}, ["rp-1"]),
        ({"kind": "finance.score", "limit": 2}, ["app-3", "=cmd|' /C calc'!A0"]),
        ({"kind": "medical.*"}, ["rp-1"]),
        ({"outcome": "DECLINE", "before": 2}, ["app-1"]),
        ({"subject": "app-3"}, ["app-3"]),
        ({"kind": "finance.*", "until": "2026-01-01"}, []),
        ({"kind": "finance.*", "since": "2026-01-01T00:00:00", "limit": 1}, ["app-3"]),
        ({"outcome": "%"}, []),
    ],
)
def test_entries_are_found_by_who_operation_time_and_outcome(
    ask: Ask, wanted: dict[str, Any], found: list[str]
) -> None:
    assert subjects(ask("GET", "/entries", scope="audit.read", params=wanted)) == found


def test_one_entry_is_read_in_full_and_only_by_its_tenant(ask: Ask) -> None:
    entry = ask("GET", "/entries/1", scope="audit.read").json()

    assert (entry["subject"], entry["outcome"]["decision"], entry["model_version"]) == ("app-1", "decline", "m@1")
    assert entry["latency_ms"] > 0
    assert ask("GET", "/entries/1", scope="audit.read", tenant="other").json()["kind"] == "keys.issue"
    assert ask("GET", "/entries/999", scope="audit.read").status_code == 404


def test_a_csv_runs_no_formula(ask: Ask) -> None:
    answer = ask("GET", "/export", scope="audit.export", params={"format": "csv", "kind": "finance.score"})

    rows = list(csv.DictReader(answer.text.splitlines()))
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    assert [row["subject"] for row in rows] == ["app-1", "'=cmd|' /C calc'!A0", "app-3"]
    assert json.loads(rows[0]["outcome"]) == {"decision": "decline", "points": 1}


def test_lines_are_sent_many_at_a_time(kit: Kit) -> None:
    who = {"tenant": "acme", "actor": "key1", "request_id": "r"}
    made = export(kit.audit, "acme", form="csv", only=AuditFilter(kind="finance.*"), who=who)

    [block] = made.chunks
    assert block.count(b"\r\n") == 4


def test_fhir_lines_are_valid_audit_events(ask: Ask) -> None:
    answer = ask("GET", "/export", scope="audit.export", params={"format": "fhir"})

    events = [AuditEvent.model_validate_json(line) for line in answer.text.splitlines()]
    assert answer.headers["content-type"] == "application/fhir+ndjson"
    by_kind = {event.subtype[0].code: event for event in events}
    assert by_kind["finance.score"].agent[0].who.identifier.value == "key1"
    assert by_kind["medical.export"].type.display == "Export"
    assert {detail.type for detail in by_kind["finance.score"].entity[0].detail} >= {"sha256", "model_version"}


def test_an_export_is_an_entry_itself_and_holds_all_that_was_wanted(ask: Ask, kit: Kit) -> None:
    answer = ask("GET", "/export", scope="audit.export", params={"format": "jsonl", "actor": "key2"})

    [line] = map(json.loads, answer.text.splitlines())
    told = kit.audit.entries("acme")[0]
    assert (line["subject"], line["outcome"]) == ("rp-1", {"format": "fhir"})
    assert (told["kind"], told["outcome"]) == ("audit.export", {"actor": "key2", "format": "jsonl"})
    assert told["actor"] in {key.key_id for key in kit.keys.list("acme")}


@pytest.mark.parametrize(
    ("method", "path", "scope", "status"),
    [
        ("GET", "/export", "audit.read", 403),
        ("GET", "/entries", "audit.export", 403),
        ("POST", "/entries/1/replay", "audit.read", 403),
        ("POST", "/erasures", "*", 403),
        ("GET", "/entries?since=yesterday", "audit.*", 422),
        ("GET", "/export?format=xls", "audit.*", 422),
        ("GET", "/entries/9223372036854775808", "audit.*", 422),
        ("GET", "/entries?before=9223372036854775808", "audit.*", 422),
        ("POST", "/erasures", "audit.*", 422),
    ],
)
def test_each_route_has_a_scope_of_its_own_and_its_rules(
    ask: Ask, method: str, path: str, scope: str, status: int
) -> None:
    body = {"json": {} if scope == "audit.*" else {"names": ["x"], "reason": "x"}} if "erasures" in path else {}
    body = {"json": {}} if "replay" in path else body

    assert ask(method, path, scope=scope, **body).status_code == status


def test_what_no_vertical_can_make_again_says_so(ask: Ask) -> None:
    answer = ask("POST", "/entries/4/replay", scope="audit.replay", json={})

    assert answer.json()["verdict"] == "not replayable"


def test_an_erasure_over_http_leaves_the_chain_whole_and_says_what_is_gone(ask: Ask) -> None:
    asked = {"names": ["app-3"], "reason": "article 17"}
    assert ask("POST", "/erasures", scope="audit.erase", json=asked).json() == {"entries": 1, "older": 0}

    check = ask("GET", "/verify", scope="audit.verify").json()
    assert (check["broken_at"], check["erased"], check["erasures"][0]["reason"]) == (None, 1, "article 17")
    assert ask("GET", "/entries/3", scope="audit.read").json()["outcome"] is None
    erased = ask("GET", "/export", scope="audit.export", params={"format": "fhir"}).text.splitlines()[2]
    assert AuditEvent.model_validate_json(erased).outcomeDesc == "payload erased"
