"""The case queue: one case a subject, one decision a case, and every decision audited."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy.orm import Session, sessionmaker

from tests.verticals.finance.conftest import Recorder
from verticals.contract import Conflict, Context, InvalidInput, NotFound
from verticals.finance.fraud import schemas
from verticals.finance.fraud.cases import CaseDesk, read_signals
from verticals.finance.fraud.operations import CASE_OPERATIONS


@pytest.fixture
def desk(sessions: sessionmaker[Session]) -> CaseDesk:
    return CaseDesk(sessions)


def suspect(subject: str = "tx-1", **changes: Any) -> schemas.OpenCaseRequest:
    fields = {
        "subject_kind": "transaction",
        "score": 0.5,
        "signals": [{"name": "high_7d", "value": 3}],
        "source": "m@1",
    }
    return schemas.OpenCaseRequest.model_validate(fields | {"subject": subject} | changes)


def verdict(case_id: str, decision: str = "fraud", reason: str = "customer_denies") -> schemas.DecideCaseRequest:
    return schemas.DecideCaseRequest.model_validate({"case_id": case_id, "decision": decision, "reason": reason})


def test_the_queue_is_in_order_of_suspicion(desk: CaseDesk, context: Context) -> None:
    for subject, score in (("a", 0.2), ("b", 0.9), ("c", 0.5)):
        desk.open(suspect(subject, score=score), context)

    page = desk.list_cases(schemas.CasesRequest(limit=2), context)

    assert ([case.subject for case in page.items], page.total) == (["b", "c"], 3)


def test_a_subject_has_one_case_however_often_it_is_suspected(desk: CaseDesk, context: Context) -> None:
    first = desk.open(suspect(), context)
    desk.decide(verdict(first.case_id, "genuine", "false_alarm"), context)

    again = desk.open(suspect(score=0.99), context)

    assert (again.case_id, again.state, again.score) == (first.case_id, "genuine", 0.5)
    assert desk.open(suspect(subject_kind="application"), context).case_id != first.case_id


def test_a_score_reads_the_open_and_the_confirmed_cases_of_each_customer(
    desk: CaseDesk, sessions: sessionmaker[Session], context: Context
) -> None:
    for subject, customer, score in (("a", "c-1", 0.2), ("b", "c-1", 0.9), ("c", "c-1", 0.5), ("d", "c-2", 0.4)):
        desk.open(suspect(subject, customer=customer, score=score), context)
    genuine, fraud = (case.case_id for case in desk.list_cases(schemas.CasesRequest(limit=2), context).items)
    desk.decide(verdict(genuine, "genuine", "false_alarm"), context)
    desk.decide(verdict(fraud), context)

    with sessions() as session:
        found = read_signals(session, context.tenant, ["c-1", "c-2", "c-3"])

    assert found == {"c-1": schemas.FraudSignal(1, 1, 0.5), "c-2": schemas.FraudSignal(1, 0, 0.4)}


def test_a_decision_is_kept_and_audited_with_it(desk: CaseDesk, context: Context, recorder: Recorder) -> None:
    opened = desk.open(suspect(), context)

    decided = desk.decide(verdict(opened.case_id), context)

    assert (decided.state, decided.reason, decided.decided_by) == ("fraud", "customer_denies", "key-1")
    assert desk.get(schemas.CaseRequest(case_id=opened.case_id), context) == decided
    assert desk.list_cases(schemas.CasesRequest(), context).total == 0
    assert desk.list_cases(schemas.CasesRequest(state="fraud"), context).total == 1
    [entry] = recorder.decisions
    assert (entry.kind, entry.subject, entry.model_version) == ("finance.case", opened.case_id, "m@1")
    assert entry.outcome == {"decision": "fraud", "reason": "customer_denies", "transaction": "tx-1", "score": 0.5}
    assert recorder.sessions[0] is not None


def test_without_an_audit_entry_nothing_is_decided(desk: CaseDesk, context: Context) -> None:
    opened = desk.open(suspect(), context)
    failing = Context(tenant="bank", actor="k", request_id="r", record=Recorder(failure=OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        desk.decide(verdict(opened.case_id), failing)

    assert desk.get(schemas.CaseRequest(case_id=opened.case_id), context).state == "open"


def test_a_decision_is_final(desk: CaseDesk, context: Context) -> None:
    opened = desk.open(suspect(), context)
    desk.decide(verdict(opened.case_id), context)

    with pytest.raises(Conflict, match="is decided already"):
        desk.decide(verdict(opened.case_id, "genuine", "false_alarm"), context)


def test_of_two_who_decide_at_once_one_is_late(desk: CaseDesk, context: Context, recorder: Recorder) -> None:
    opened, start, outcomes = desk.open(suspect(), context), threading.Barrier(2), []

    def decide() -> None:
        start.wait()
        try:
            outcomes.append(desk.decide(verdict(opened.case_id), context).state)
        except Conflict:
            outcomes.append("late")

    threads = [threading.Thread(target=decide) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["fraud", "late"]
    assert len(recorder.decisions) == 1


def test_another_tenants_case_does_not_exist(desk: CaseDesk, context: Context) -> None:
    opened = desk.open(suspect(), context)
    other = Context(tenant="other", actor="k", request_id="r", record=context.record)

    with pytest.raises(NotFound, match="no such case"):
        desk.get(schemas.CaseRequest(case_id=opened.case_id), other)
    with pytest.raises(NotFound, match="no such case"):
        desk.decide(verdict(opened.case_id), other)
    assert desk.list_cases(schemas.CasesRequest(), other).total == 0
    assert desk.open(suspect(), other).case_id != opened.case_id


def test_a_reason_must_fit_its_decision(desk: CaseDesk, context: Context) -> None:
    opened = desk.open(suspect(), context)

    with pytest.raises(InvalidInput, match=r"reason: must fit the decision 'genuine' .* Give one of customer_confirms"):
        desk.decide(verdict(opened.case_id, "genuine", "document_forged"), context)


@pytest.mark.parametrize(
    "change", [{"score": 1.5}, {"signals": []}, {"subject": "Jane Doe"}, {"signals": [{"name": "x", "value": "NaN"}]}]
)
def test_a_bad_case_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        suspect(**change)


def test_the_documented_example_is_taken(desk: CaseDesk, context: Context) -> None:
    [example] = CASE_OPERATIONS[0].examples.values()

    assert desk.open(schemas.OpenCaseRequest.model_validate(example), context).state == "open"
