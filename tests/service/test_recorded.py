"""No call that must leave an audit entry leaves none, and no new route that changes something goes unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api import create_app
from service.auth import Caller
from service.discovery import discover
from service.kit import Kit
from service.recorded import fingerprint, must_record
from tests.fake_kit import make_kit
from tests.service.conftest import PARCELS, Count, Label, ParcelById, Weigh
from verticals.contract import UploadedFile

CALLER = Caller("acme", "key1", ("*",))

# What is not asked for by GET, and leaves no entry: it computes, and nothing is decided, kept or given away.
COMPUTE = {"finance.explain", "finance.counterfactual", "finance.simulate", "support.search"}

# Routes of the service that may change something, and what tells of it; those of operations go through `Kit.invoke`.
ROUTES = {
    ("POST", "/v1/chat/completions"): "support.answer, core.answer",
    ("POST", "/v1/responses"): "support.answer, core.answer",
    ("DELETE", "/v1/responses/{response_id}"): "responses.delete",
    ("POST", "/v1/embeddings"): "computes",
    ("POST", "/v1/customer-keys"): "keys.issue",
    ("POST", "/v1/medical/dicomweb/studies"): "medical.ingest_files",
    ("POST", "/v1/medical/dicomweb/studies/{study_uid}"): "medical.ingest_files",
    ("POST", "/v1/admin/models/core/versions"): "models.register",
    ("POST", "/v1/admin/models/{name}/rebalance"): "models.rebalance",
    **{
        ("POST", f"/v1/admin/models/registered/{{name}}/{step}"): "models.rollout"
        for step in ("shadow", "canary", "full", "roll-back")
    },
    ("POST", "/v1/audit/entries/{sequence}/replay"): "computes",
    ("POST", "/v1/audit/erasures"): "audit.erase",
    ("POST", "/v1/operations/alarms/{alarm_id}/acknowledge"): "operations.acknowledge",
    ("POST", "/webhooks/rest/webhook"): "support.answer",
    ("POST", "/webhooks/{channel}"): "support.answer, once it is answered",
}


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    made = make_kit(Path(tmp_path_factory.mktemp("home")), {"parcels": PARCELS})
    yield made
    made.close()


def call(kit: Kit, name: str, request: Any) -> Any:
    return kit.invoke("parcels", name, request, caller=CALLER, request_id="r")


def newest(kit: Kit) -> dict[str, Any]:
    return kit.audit.entries("acme", limit=1)[0]


def test_every_route_that_may_change_something_is_known_with_what_tells_of_it(kit: Kit) -> None:
    operations = {f"/v1/parcels{operation.path}" for operation in PARCELS.operations}
    app = create_app(kit)
    found = {
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in map(str.upper, methods)
        if method != "GET" and path not in operations
    }

    assert found == set(ROUTES)


def test_only_operations_that_compute_are_exempt() -> None:
    exempt = {
        f"{vertical.name}.{operation.name}"
        for vertical in discover().values()
        for operation in vertical.operations
        if operation.method != "GET" and not must_record(operation)
    }

    assert exempt == COMPUTE


def test_a_call_whose_handler_recorded_is_told_once_with_how_long_it_took(kit: Kit) -> None:
    call(kit, "weigh", Weigh(weight_kg=2))

    [told] = kit.audit.of_kind("acme", "parcels.weigh")
    assert told["outcome"] == {"amount_cent": 300}
    assert told["latency_ms"] >= 0


def test_a_call_whose_handler_recorded_nothing_is_told_by_fingerprints(kit: Kit) -> None:
    asked = Label(file=UploadedFile(filename="x", content=b"\xff\x00"))
    answer = call(kit, "label", asked)

    told = newest(kit)
    assert (told["kind"], told["actor"], told["input_sha256"]) == ("parcels.label", "key1", fingerprint(asked))
    assert told["outcome"] == {"answer_sha256": fingerprint(answer)}


def test_a_read_leaves_nothing(kit: Kit) -> None:
    before = newest(kit)["sequence"]
    call(kit, "get", ParcelById(parcel_id="p1"))

    assert newest(kit)["sequence"] == before


def test_a_stream_is_told_at_its_end_or_when_its_listener_leaves_and_not_when_it_fails(kit: Kit) -> None:
    before = newest(kit)["sequence"]
    events = call(kit, "count", Count(to=3))
    next(events)
    assert newest(kit)["sequence"] == before
    events.close()
    assert (newest(kit)["sequence"], newest(kit)["kind"]) == (before + 1, "parcels.count")

    list(call(kit, "count", Count(to=2)))
    assert newest(kit)["sequence"] == before + 2
    with pytest.raises(RuntimeError, match="thirteen"):
        list(call(kit, "count", Count(to=20)))
    assert newest(kit)["sequence"] == before + 2


def test_keys_that_are_issued_and_revoked_are_told_without_label_or_customer(kit: Kit) -> None:
    key = kit.keys.issue(tenant="acme", label="Jane's phone", customer="C-7", by={"actor": "shop", "request_id": "r5"})
    key_id = key.split("_")[1]
    kit.keys.revoke(key_id, by={"actor": "ops", "request_id": "r6"})

    revoked, issued = kit.audit.entries("acme", limit=2)
    assert [(one["kind"], one["subject"], one["actor"]) for one in (issued, revoked)] == [
        ("keys.issue", key_id, "shop"),
        ("keys.revoke", key_id, "ops"),
    ]
    assert "Jane" not in str(issued)
    assert "C-7" not in str(issued)
