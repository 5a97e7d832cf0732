"""Card transactions over the operations: features as in training to the bit, one answer each, cases and audit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from tests.intruder import between, intruder
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from verticals.contract import Context, Resources, Unavailable
from verticals.finance.fraud import card_schemas as s
from verticals.finance.fraud import schemas
from verticals.finance.fraud.cards import CardDesk
from verticals.finance.fraud.cases import CaseDesk
from verticals.finance.fraud.features import all_features
from verticals.finance.fraud.files import to_transactions
from verticals.finance.fraud.model import FraudModel, load_fraud
from verticals.finance.fraud.operations import CARD_OPERATIONS
from verticals.finance.fraud.slices import with_history
from verticals.finance.fraud.tables import FinanceCardTransaction
from verticals.finance.histories.store import EventStore


@pytest.fixture
def desk(fraud_registry: FolderRegistry, sessions: sessionmaker[Session]) -> CardDesk:
    return CardDesk(sessions, fraud_registry)


@pytest.fixture
def model(fraud_registry: FolderRegistry) -> FraudModel:
    found = load_fraud(fraud_registry)
    assert found is not None
    return found


def as_rows(cards: pd.DataFrame, *, labels: bool = False) -> list[dict[str, Any]]:
    """Rows of the simulator as a request has them."""
    return [
        {
            "transaction_id": row["transaction_id"],
            "at": datetime.fromtimestamp(row["at_s"], UTC).isoformat(),
            "customer": row["customer"],
            "terminal": row["terminal"],
            "amount": f"{row['amount_cents'] / 100:.2f}",
        }
        | ({"fraud": bool(row["fraud"])} if labels else {})
        for row in cards.to_dict("records")
    ]


def keep(desk: CardDesk, context: Context, cards: pd.DataFrame) -> None:
    for start in range(0, len(cards), s.MAX_ROWS):
        rows = as_rows(cards[start : start + s.MAX_ROWS], labels=True)
        assert desk.keep(s.KeepCardsRequest(transactions=rows), context).errors == []


def score(desk: CardDesk, context: Context, *rows: dict[str, Any]) -> s.ScoreCardsResponse:
    return desk.score(s.ScoreCardsRequest(transactions=list(rows)), context)


def paid(name: str = "tx-1", **changes: Any) -> dict[str, Any]:
    fields = {"at": "2026-10-01T12:00:00Z", "customer": "c-1", "terminal": "t-1", "amount": "20.00"}
    return {"transaction_id": name, **fields, **changes}


def test_served_features_are_those_of_training_to_the_bit(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session], few: pd.DataFrame
) -> None:
    """The last ones', on a slice of the stored history, against all of the table at once."""
    cut = len(few) - 150
    keep(desk, context, few[:cut])
    batch = all_features(to_transactions(few))[cut:].reset_index(drop=True)

    with sessions() as session:
        rows = few[cut:].drop(columns=["fraud", "scenario"]).to_dict("records")
        together, is_new = with_history(session, context.tenant, rows)
        served = all_features(to_transactions(together))[is_new].reset_index(drop=True)

    assert len(served) == 150
    assert (batch.isna() == served.isna()).all(axis=None)
    assert np.array_equal(batch.to_numpy(), served.to_numpy(), equal_nan=True)
    assert batch["terminal_risk_30d"].max() > 0
    assert len(together) < len(few), "a slice"


def test_one_by_one_gives_the_scores_of_the_table(
    desk: CardDesk, context: Context, few: pd.DataFrame, model: FraudModel
) -> None:
    cut = len(few) - 25
    keep(desk, context, few[:cut])
    expected = model.predict(all_features(to_transactions(few))[cut:])

    found = [score(desk, context, row).items[0].score for row in as_rows(few[cut:])]

    assert found == expected.tolist()


def test_a_dormant_customers_last_payments_count_however_long_ago(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session]
) -> None:
    days = [0, 1, 2, 3, 4, 5, 300]
    rows = [
        {"transaction_id": f"tx-{i}", "at_s": 1_750_000_000 + day * 86_400, "customer": "c-1", "terminal": f"t-{i}",
         "amount_cents": 1000 + i, "fraud": 0, "scenario": 0}
        for i, day in enumerate(days)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    keep(desk, context, table[:-1])

    with sessions() as session:
        together, is_new = with_history(session, context.tenant, [{**rows[-1]}])
    served = all_features(to_transactions(together))[is_new].iloc[0]

    assert served["days_before_5"] == 299
    assert served.equals(all_features(to_transactions(table)).iloc[-1])


def test_above_the_threshold_a_case_is_opened_with_its_grounds(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session], few: pd.DataFrame, recorder: Recorder
) -> None:
    keep(desk, context, few[:-900])
    found = score(desk, context, *as_rows(few[-900:]))
    queue = CaseDesk(sessions).list_cases(schemas.CasesRequest(limit=500), context)

    flagged = [item for item in found.items if item.flagged]
    assert 0 < len(flagged) < 100
    assert all(item.score is not None and item.score > found.threshold for item in flagged)
    assert {item.case_id for item in flagged} == {case.case_id for case in queue.items}
    assert all(item.case_id is None for item in found.items if not item.flagged)
    paid_by = {row["transaction_id"]: row["customer"] for row in as_rows(few[-900:])}
    assert all(case.customer == paid_by[case.subject] for case in queue.items)
    assert all(case.source == found.model_version and 1 <= len(case.signals) <= 4 for case in queue.items)
    assert found.synthetic
    entries = [one for one in recorder.decisions if one.kind == "finance.card"]
    assert [one.subject for one in entries] == [item.transaction_id for item in found.items]
    assert sum(one.outcome["flagged"] for one in entries) == len(flagged)


def test_a_transaction_is_scored_once(desk: CardDesk, context: Context, recorder: Recorder) -> None:
    first = score(desk, context, paid()).items[0]
    score(desk, context, paid("tx-2", at="2026-10-01T11:00:00Z"))  # would change what is said of the first
    again = score(desk, context, paid()).items[0]

    assert (first.known, again.known) == (False, True)
    assert again.score == first.score
    assert len(recorder.decisions) == 2


def test_the_same_id_with_another_content_is_refused(desk: CardDesk, context: Context) -> None:
    score(desk, context, paid())
    found = score(desk, context, paid(amount="21.00"), paid("tx-2"))

    assert [(e.row, e.field, e.rule) for e in found.errors] == [(0, "transaction_id", "is known with another content")]
    assert [item.transaction_id for item in found.items] == ["tx-2"]


def test_the_same_transaction_twice_in_a_request_is_one(desk: CardDesk, context: Context, recorder: Recorder) -> None:
    found = score(desk, context, paid(), paid(), paid(amount="9.00"))

    assert [item.transaction_id for item in found.items] == ["tx-1", "tx-1"]
    assert [(e.row, e.field) for e in found.errors] == [(2, "transaction_id")]
    assert len(recorder.decisions) == 1


def test_bad_rows_are_told_and_the_rest_is_scored(desk: CardDesk, context: Context) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    bad: Sequence[Any] = (
        paid("a", at=tomorrow),
        paid("b", amount="-1.00"),
        paid("c", amount="1e9"),
        paid("d", amount="1.999"),
        paid("e", customer="Jane Doe"),
        paid("f", at="2026-10-01T12:00:00"),
        {"transaction_id": "g"},
        paid("h", card="4111"),
        "nonsense",
        paid("i", amount="NaN"),
    )
    found = score(desk, context, *bad, paid("good"))

    assert [item.transaction_id for item in found.items] == ["good"]
    assert [(e.row, e.transaction_id, e.field) for e in found.errors] == [
        (0, "a", "at"), (1, "b", "amount"), (2, "c", "amount"), (3, "d", "amount"), (4, "e", "customer"),
        (5, "f", "at"), (6, "g", "at"), (7, "h", "card"), (8, None, "transaction"), (9, "i", "amount"),
    ]  # fmt: skip
    assert all(e.rule and e.remedy for e in found.errors)


def test_a_label_is_kept_audited_and_counts_after_seven_days(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session], recorder: Recorder
) -> None:
    score(desk, context, paid())
    found = desk.label(s.LabelCardsRequest(labels=[{"transaction_id": "tx-1", "fraud": True},
                                                   {"transaction_id": "tx-9", "fraud": True}]), context)  # type: ignore[list-item]  # fmt: skip

    assert (found.changed, found.unknown) == (1, ["tx-9"])
    assert recorder.decisions[-1].outcome == {"fraud": 1, "genuine": 0}
    for days, known in ((6, 0), (8, 1)):
        at_s = int(datetime(2026, 10, 1 + days, 12, tzinfo=UTC).timestamp())
        later = {"transaction_id": "x", "at_s": at_s, "customer": "c-2", "terminal": "t-1", "amount_cents": 100}
        with sessions() as session:
            table, is_new = with_history(session, context.tenant, [later])
        assert all_features(to_transactions(table))[is_new]["terminal_frauds_known"].item() == known


def test_a_decided_case_is_the_transactions_label(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session]
) -> None:
    score(desk, context, paid(), paid("tx-2"))
    cases = CaseDesk(sessions)
    for name, decision, reason in (("tx-1", "fraud", "customer_denies"), ("tx-2", "genuine", "false_alarm")):
        opened = cases.open(
            schemas.OpenCaseRequest.model_validate(
                {"subject_kind": "transaction", "subject": name, "score": 0.9, "source": "rule",
                 "signals": [{"name": "told", "value": 1}]}
            ),
            context,
        )  # fmt: skip
        told = {"case_id": opened.case_id, "decision": decision, "reason": reason}
        cases.decide(schemas.DecideCaseRequest.model_validate(told), context)

    with sessions() as session:
        labels = {row.transaction_id: row.fraud for row in session.scalars(select(FinanceCardTransaction))}
    assert labels == {"tx-1": True, "tx-2": False}


def test_two_who_send_the_same_get_one_answer(desk: CardDesk, context: Context, recorder: Recorder) -> None:
    start, found = threading.Barrier(2), []

    def send() -> None:
        start.wait()
        found.append(score(desk, context, paid()).items[0].score)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 2
    assert found[0] == found[1]


def test_another_tenants_history_does_not_exist(desk: CardDesk, context: Context, few: pd.DataFrame) -> None:
    keep(desk, context, few[-2000:-1])
    other = Context(tenant="other", actor="k", request_id="r", record=context.record)
    [row] = as_rows(few[-1:])

    mine, theirs = score(desk, context, row).items[0], score(desk, other, row).items[0]

    assert not theirs.known
    assert mine.score != theirs.score


def test_without_an_audit_entry_nothing_is_kept(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session]
) -> None:
    failing = Context(tenant="bank", actor="k", request_id="r", record=Recorder(failure=OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        score(desk, failing, paid())

    assert not score(desk, context, paid()).items[0].known


def test_an_erased_customer_leaves_no_card_transaction(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session]
) -> None:
    score(desk, context, paid(), paid("tx-2", customer="c-2"))
    with sessions.begin() as session:
        EventStore(sessions).erase(session, context.tenant, "c-1")

    with sessions() as session:
        assert session.scalars(select(FinanceCardTransaction.transaction_id)).all() == ["tx-2"]


def test_without_a_model_it_says_how_to_get_one(
    make_resources: Callable[[Any], Resources], context: Context, tmp_path: Any
) -> None:
    resources = make_resources(FolderRegistry(tmp_path))
    desk = CardDesk(resources.sessions, resources.registry)

    with pytest.raises(Unavailable, match="train-fraud"):
        score(desk, context, paid())
    assert desk.keep(s.KeepCardsRequest(transactions=[paid()]), context).kept == 1


def test_the_documented_examples_are_taken(desk: CardDesk, context: Context) -> None:
    handlers = {"score_cards": desk.score, "keep_cards": desk.keep, "label_cards": desk.label}
    for operation in CARD_OPERATIONS:
        for example in operation.examples.values():
            found: Any = handlers[operation.name](operation.request.model_validate(example), context)
            assert not getattr(found, "errors", [])


def test_who_is_erased_as_soon_as_they_are_scored_leaves_the_answer_whole(
    desk: CardDesk, context: Context, sessions: sessionmaker[Session]
) -> None:
    engine = sessions.kw["bind"]

    def erase(by: sessionmaker[Session]) -> None:
        with by.begin() as session:
            if session.scalar(select(FinanceCardTransaction.transaction_id)) is None:
                raise OperationalError("not stored yet", None, ValueError())
            EventStore(by).erase(session, context.tenant, "c-1")

    with intruder(engine) as own, between(engine, lambda: erase(own), before="SELECT finance"):
        answer = score(desk, context, paid())

    assert [one.transaction_id for one in answer.items] == ["tx-1"]
