"""One and more of each thing that the API has, and the schema with their names in it. Ignores what comes of them.

A fuzzer guesses no id: a route that asks for one would answer 404 alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from tests.fire.asking import a_study, applications

OF_EACH = 2  # what is deleted, closed or decided is gone for the next case
Names = dict[str, list[str | int]]


def seeded(http: httpx.Client) -> Names:
    """What there is now, by the name of its path parameter; calls that need what this machine lacks are left out."""
    found: Names = {}

    def keep(name: str, *values: str | int) -> None:
        found[name] = [*found.get(name, ()), *values]

    for _ in range(OF_EACH):
        for seed in (_finance, _medical, _support):
            seed(http, keep)
    policies = http.get("/v1/finance/policies").json()["policies"]
    keep("version", *[one["policy"]["version"] for one in policies[:OF_EACH]])
    keep("sequence", *[one["sequence"] for one in http.get("/v1/audit/entries").json()[:OF_EACH]])
    keep("name", *[one["name"] for one in http.get("/v1/admin/models/registered").json()])
    for kind, field in (("approvals", "action_id"), ("handoffs", "handoff_id")):
        keep(field, *[one[field] for one in http.get(f"/v1/support/{kind}").json()[kind][:OF_EACH]])
    keep("modality", "voice", "face")
    return {name: values for name, values in found.items() if values}


def _post(http: httpx.Client, path: str, body: Any = None) -> Any:
    answer = http.post(path, json=body)
    assert answer.is_success, f"{path} {answer.status_code} {answer.text[:300]}"
    return answer.json()


def _finance(http: httpx.Client, keep: Callable[..., None]) -> None:
    scored = _post(http, "/v1/finance/score", applications()[0])
    keep("application_id", name := scored["application_id"])
    other = "decline" if scored["decision"] == "approve" else "approve"
    overriding = {"decision": other, "reason": "M01", "text": "Three salary slips seen; the income covers it"}
    keep("override_id", _post(http, f"/v1/finance/decisions/{name}/override", overriding)["override_id"])
    signal = {"name": "terminal_fraud_share", "value": 0.8}
    case = {"subject_kind": "transaction", "subject": "tx-1", "score": 0.94, "signals": [signal], "source": "demo"}
    keep("case_id", _post(http, "/v1/finance/cases", case)["case_id"])


def _medical(http: httpx.Client, keep: Callable[..., None]) -> None:
    answer = http.post("/v1/medical/studies", files={"file": ("image.dcm", a_study())}).raise_for_status().json()
    keep("study_id", answer["study_id"])
    keep("report_id", answer["report"]["report_id"])


def _support(http: httpx.Client, keep: Callable[..., None]) -> None:
    for said in ("Where is my order MP-10002?", "I want to speak to a person."):
        session = _post(http, "/v1/support/sessions", {})["session_id"]
        http.post(f"/v1/support/sessions/{session}/messages", json={"content": said}).raise_for_status()
        keep("session_id", session)
    keep("number", 1, 2)
    asked = {"messages": [{"role": "user", "content": "How long can I return a lamp?"}]}
    events = http.post("/v1/support/chat", json=asked).raise_for_status().text.split("data: ")
    keep("answer_id", json.loads(next(event for event in events if '"answer_id"' in event))["answer_id"])
    keep("ticket_id", _post(http, "/v1/support/tickets", asked)["ticket_id"])
    document = {"doc_id": f"cards-{session}", "title": "Gift cards", "text": "They never expire."}
    _post(http, "/v1/support/documents", {"documents": [document]})
    keep("doc_id", document["doc_id"])
    keep("response_id", _post(http, "/v1/responses", {"model": "trivium-support", "input": "Hello"})["id"])


def with_names(schema: dict[str, Any], names: Mapping[str, list[str | int]]) -> dict[str, Any]:
    """The schema, whose path parameters are one of these names, where there are any."""
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in names:
                    known = names[parameter["name"]]
                    if "/admin/models/{name}" in path:
                        known = ["core"]
                    parameter["schema"] = {"enum": known}
    return schema
