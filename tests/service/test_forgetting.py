"""A customer is forgotten: no table has a word of theirs left, others' words stay, and the audit chain holds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, inspect, select, text

from retrieval.documents import Hit
from service.api import create_app
from service.kit import Kit
from tests.fake_kit import FakeEngine, make_kit
from tests.verticals.support.fakes import ListRetriever, ScriptedModel
from tests.verticals.support.world import SMALL_MODEL
from verticals.contract import Handler, Resources
from verticals.support import VERTICAL
from verticals.support.consents import WORDING_VERSION
from verticals.support.handlers import build
from verticals.support.shop.demo_data import add_demo_shop
from verticals.support.shop.tables import RefundRow
from verticals.support.tables import ActionRow

ADA, BEN = "C-1001", "C-1002"
HIT = Hit("p1", "d1", "Lamps", "", "You can return lamps within 45 days.", 1.0, 0.9)
# What each planted word must have reached before, so that its absence afterwards says something.
REACHED = {
    *("support_messages", "support_facts", "support_feedback", "support_handoffs", "support_tickets"),
    *("support_actions", "retrieval_ledger", "openai_responses", "idempotent_requests"),
}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    def with_fakes(resources: Resources) -> Mapping[str, Handler]:
        knowledge: Any = ListRetriever([HIT], tenant="acme")
        return build(replace(resources, retriever=knowledge, chat_model=ScriptedModel(script="{}")))

    engine = FakeEngine()
    engine.model_version = SMALL_MODEL
    kit = make_kit(tmp_path, {"support": replace(VERTICAL, build=with_fakes)}, engine=engine)
    add_demo_shop(kit.sessions, "acme")
    return kit


@pytest.fixture
def api(kit: Kit) -> Iterator[TestClient]:
    with TestClient(create_app(kit)) as client:
        yield client


class Talker:
    """A customer at the API, and the staff that serves them; every text holds `word`."""

    def __init__(self, api: TestClient, kit: Kit, customer: str, word: str) -> None:
        self.api, self.customer, self.word = api, customer, word
        self.own = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='c', customer=customer)}"}
        self.staff = {"Authorization": f"Bearer {kit.keys.issue(tenant='acme', label='staff')}"}

    def post(self, path: str, body: Any, *, once: str | None = None, staff: bool = False) -> Any:
        headers = {**(self.staff if staff else self.own), **({"Idempotency-Key": once} if once else {})}
        answer = self.api.post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        is_json = answer.headers["content-type"].startswith("application/json")
        return answer.json() if is_json else answer.text

    def leave_words_everywhere(self) -> None:
        """Talk, rate, ask for a refund, a ticket and a person, use the OpenAI routes, and consent."""
        session = self.post("/v1/support/sessions", {})["session_id"]
        says = f"/v1/support/sessions/{session}/messages"
        self.post(says, {"content": f"Please call me {self.word}."})
        self.post(says, {"content": f"How many days can I return a {self.word} lamp?"})
        history = self.api.get(f"/v1/support/sessions/{session}", headers=self.own).json()
        number = next(m["number"] for m in reversed(history["messages"]) if m["role"] == "assistant")
        rating = {"rating": "down", "comment": f"{self.word}!"}
        self.post(f"{says}/{number}/feedback", rating, once=f"rate-{self.word}")
        self.decide(says, f"I moved, please change my address to 7 {self.word} Street, Dayton, OH 45402", "reject")
        self.post(says, {"content": f"I moved, please change my address to 9 {self.word} Street, Dayton, OH 45402"})
        self.post(says, {"content": "yes"})  # waits for ever
        self.post("/v1/support/tickets", {"messages": [{"role": "user", "content": f"My {self.word} lamp is broken"}]})
        self.post(says, {"content": f"I want to talk to a person about {self.word}"})
        asked = {"model": "trivium-support", "input": f"How many days can I return a {self.word} lamp?"}
        self.post("/v1/responses", asked)
        self.post("/v1/support/consents", {"modality": "voice", "wording_version": WORDING_VERSION})

    def decide(self, says: str, wish: str, decision: str) -> None:
        """Ask for a change, confirm it, and let a colleague decide."""
        self.post(says, {"content": wish})
        self.post(says, {"content": "yes"})
        waiting = self.api.get("/v1/support/approvals?status=waiting", headers=self.staff).json()["approvals"]
        (action,) = [one for one in waiting if one["customer"] == self.customer]
        note = {"decision": decision, "note": f"so be it, {self.word}"}
        self.post(f"/v1/support/approvals/{action['action_id']}/decision", note, staff=True)

    def memory(self, method: str, path: str = "") -> Any:
        return self.api.request(method, f"/v1/support/memory{path}", headers=self.own).json()


def database_files(kit: Kit) -> list[Path]:
    """SQLite's file and that of the checkpoints beside it; none where a server keeps both."""
    path = kit.database.url.database
    return [Path(f"{path}"), Path(f"{path}-checkpoints")] if kit.database.dialect.name == "sqlite" else []


def tables_with(kit: Kit, word: str) -> dict[str, int]:
    """Rows of each table, the checkpoints' too, with a column that holds the word."""
    found: dict[str, int] = {}
    for url in [f"sqlite:///{file}" for file in database_files(kit)] or [kit.settings.sqlalchemy_url]:
        engine = create_engine(url)
        with engine.connect() as connection:
            for table in inspect(engine).get_table_names():
                rows = connection.execute(text(f'SELECT * FROM "{table}"'))
                found[table] = sum(any(_holds(value, word) for value in row) for row in rows)
        engine.dispose()
    return {table: count for table, count in found.items() if count}


def _holds(value: object, word: str) -> bool:
    content = value if isinstance(value, bytes) else str(value).encode()
    return word.lower().encode() in content.lower()


def test_no_table_holds_a_forgotten_customers_words(api: TestClient, kit: Kit) -> None:
    ada = Talker(api, kit, ADA, "Quillfeather")
    ben = Talker(api, kit, BEN, "Brambleshade")
    ada.leave_words_everywhere()
    ben.leave_words_everywhere()
    before = tables_with(kit, ben.word)
    assert set(before) >= REACHED
    assert any(name.startswith("checkpoint") for name in before)  # their tables differ by database
    assert set(tables_with(kit, ada.word)) == set(before)
    exported = json.dumps(ada.memory("GET", "/export"))

    forgotten = ada.memory("DELETE")

    assert tables_with(kit, ada.word) == {}
    assert tables_with(kit, ben.word) == before
    assert {name for name, count in forgotten["erased"].items() if count} == set(forgotten["erased"])
    assert exported.count(ada.word) > sum(before.values()) / 2
    assert ben.word not in exported
    assert kit.audit.verify("acme").broken_at is None
    for path in database_files(kit):  # deleted rows are overwritten, too
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert ada.word.lower().encode() not in path.read_bytes().lower()


def test_what_was_done_is_still_known_without_words(api: TestClient, kit: Kit) -> None:
    ada = Talker(api, kit, ADA, "Quillfeather")
    session = ada.post("/v1/support/sessions", {})["session_id"]
    refund = "I want a refund for the Aspen table lamp of order MP-10001, it is faulty"
    ada.decide(f"/v1/support/sessions/{session}/messages", refund, "approve")
    ada.leave_words_everywhere()

    ada.memory("DELETE")

    with kit.sessions() as db:
        actions = db.scalars(select(ActionRow).order_by(ActionRow.asked_at)).all()
        refunds = [(row.order_id, row.customer_id) for row in db.scalars(select(RefundRow))]
    assert [(one.tool, one.status, one.args) for one in actions] == [
        ("request_refund", "done", {"order_id": "MP-10001", "item": 1, "reason": "faulty"}),
        ("change_address", "rejected", {}),
        ("change_address", "rejected", {}),  # it waited, and is withdrawn
    ]
    assert refunds == [("MP-10001", ADA)]
    (ticket,) = api.get("/v1/support/tickets", headers=ada.staff).json()["tickets"]
    assert (ticket["status"], ticket["customer"], ticket["summary"]) == ("closed", None, "[forgotten]")
    assert api.get("/v1/support/feedback", headers=ada.staff).json()["answers"] == []
