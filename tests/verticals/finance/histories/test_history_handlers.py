"""The operations of histories, as a caller sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.conftest import wait_for
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from tests.verticals.finance.histories.test_embeddings import register, told
from verticals.contract import Context, Handler, InvalidInput, Resources
from verticals.finance import VERTICAL
from verticals.finance.histories import schemas
from verticals.finance.histories.embeddings import EmbeddingStore
from verticals.finance.histories.events import read_events
from verticals.finance.histories.handlers import HistoryDesk
from verticals.finance.histories.operations import HISTORY_OPERATIONS
from verticals.finance.histories.store import EventStore
from verticals.finance.histories.view import FEATURES


@pytest.fixture
def handlers(make_resources: Callable[[Any], Resources], tmp_path: Path) -> Mapping[str, Handler]:
    """Over a registry that has a sequence model and nothing else."""
    (tmp_path / "registry").mkdir()
    registry = FolderRegistry(tmp_path / "registry")
    register(registry)
    return VERTICAL.build(make_resources(registry))


def append(handlers: Mapping[str, Handler], context: Context, *events: dict[str, Any], customer: str = "c-1") -> Any:
    return handlers["append_events"](schemas.EventsRequest(customer=customer, events=list(events)), context)


def features(handlers: Mapping[str, Handler], context: Context, **request: Any) -> Any:
    return handlers["features"](schemas.FeaturesRequest.model_validate({"customer": "c-1"} | request), context)


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {"event_id": event_id, "at": "2026-03-01T12:00:00Z", "kind": "salary", "amount": "2000"} | changes


def test_the_documented_example_is_kept(handlers: Mapping[str, Handler], context: Context) -> None:
    [example] = HISTORY_OPERATIONS[0].examples.values()

    found: Any = handlers["append_events"](schemas.EventsRequest.model_validate(example), context)

    assert (found.appended, found.errors) == (2, [])


def test_bad_rows_are_reported_at_their_place_and_the_rest_is_kept(
    handlers: Mapping[str, Handler], context: Context
) -> None:
    append(handlers, context, event("a"))

    found = append(handlers, context, event("b", kind="theft"), event("c"), event("a", amount="1"), event("c"))

    assert (found.appended, found.known) == (1, 0)
    assert [(e.row, e.field) for e in found.errors] == [(0, "kind"), (2, "event_id"), (3, "event_id")]
    page: Any = handlers["events"](schemas.EventPageRequest(customer="c-1"), context)
    assert sorted(item.event_id for item in page.items) == ["a", "c"]
    assert page.total == 2
    assert page.synthetic is False


def test_features_as_of_a_moment_see_no_later_event(handlers: Mapping[str, Handler], context: Context) -> None:
    append(handlers, context, event("a"), event("b", at="2026-04-01T12:00:00Z"))

    early, late = features(handlers, context, as_of="2026-03-02T12:00:00Z"), features(handlers, context)

    assert [f.name for f in early.features] == [f.name for f in FEATURES]
    assert {f.name: f.value for f in early.features}["num_events"] == 1
    assert {f.name: f.value for f in early.features}["recency_d"] == 1
    assert {f.name: f.value for f in late.features}["num_events"] == 2


def test_the_vector_follows_the_events_by_itself(handlers: Mapping[str, Handler], context: Context) -> None:
    append(handlers, context, event("a"))

    found = wait_for(lambda: features(handlers, context).sequence)

    assert found.num_events == 1
    assert found.as_of == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert abs(found.log_odds) <= found.bound
    assert found.synthetic is True


def test_another_tenant_sees_nothing(handlers: Mapping[str, Handler], context: Context) -> None:
    append(handlers, context, event("a"))
    other = Context(tenant="other", actor="key-2", request_id="r-2", record=context.record)

    page: Any = handlers["events"](schemas.EventPageRequest(customer="c-1"), other)

    assert (page.items, page.total) == ([], 0)
    assert {f.name: f.value for f in features(handlers, other).features}["num_events"] == 0


def test_an_erased_history_leaves_nothing_but_the_record_of_it(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    append(handlers, context, event("a"), event("b"))
    append(handlers, context, event("a"), customer="c-2")
    assert wait_for(lambda: features(handlers, context).sequence)

    erased: Any = handlers["erase_events"](schemas.EraseRequest(customer="c-1"), context)

    assert erased.erased == 2
    found = features(handlers, context)
    assert found.sequence is None
    assert {f.name: f.value for f in found.features}["num_events"] == 0
    other: Any = handlers["events"](schemas.EventPageRequest(customer="c-2"), context)
    assert other.total == 1
    assert [(d.kind, d.subject, d.outcome) for d in recorder.decisions] == [
        ("finance.erase", "c-1", {"events": 2, "evidence": 0})
    ]


def test_a_moment_in_the_future_is_refused(handlers: Mapping[str, Handler], context: Context) -> None:
    with pytest.raises(InvalidInput, match="as_of: must not be in the future"):
        features(handlers, context, as_of=datetime.now(UTC) + timedelta(hours=1))


def test_simulated_customers_are_labelled(handlers: Mapping[str, Handler], context: Context) -> None:
    assert features(handlers, context, customer="sim-1-000001").synthetic is True


def test_a_read_wakes_the_worker_only_where_a_vector_is_to_be_made(
    sessions: sessionmaker[Session], tmp_path: Path, context: Context
) -> None:
    (tmp_path / "registry").mkdir()
    register(registry := FolderRegistry(tmp_path / "registry"))
    events, wakes = EventStore(sessions), list[str]()
    embeddings = EmbeddingStore(sessions, events, registry)
    desk = HistoryDesk(sessions, events, embeddings, lambda *_: 0, lambda: wakes.append("woken"))

    def woken_by(customer: str) -> int:
        wakes.clear()
        desk.features(schemas.FeaturesRequest(customer=customer), context)
        return len(wakes)

    assert woken_by("nobody") == 1  # of a version that is new, nothing is known yet
    embeddings.refresh(told)
    assert woken_by("nobody") == 0
    events.append(context.tenant, "c-1", read_events([event("a")], now=datetime.now(UTC))[0])
    assert woken_by("c-1") == 1
    embeddings.refresh(told)
    assert woken_by("c-1") == 0
