"""Suspected fraud of a customer leaves a credit decision to a person, in every way to one, and moves no point."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.verticals.finance.conftest import FolderRegistry, Recorder
from tests.verticals.finance.fraud.test_cases import suspect, verdict
from tests.verticals.finance.test_batch import csv_of
from verticals.contract import Context, Handler, UploadedFile
from verticals.finance import VERTICAL, schemas, serving_schemas
from verticals.finance.fraud.schemas import CaseRequest
from verticals.finance.histories.schemas import EraseRequest
from verticals.finance.policies import PolicyBook
from verticals.finance.replay import replay

GOOD = next(o for o in VERTICAL.operations if o.name == "score").examples["steady"]
DOUBT = "Suspected fraud: 1 case open, 0 confirmed"


def score(served: Mapping[str, Any], context: Context, **changes: Any) -> schemas.ScoreResponse:
    found: schemas.ScoreResponse = served["score"](schemas.ScoreRequest.model_validate(GOOD | changes), context)
    return found


def test_an_open_case_leaves_the_decision_to_a_person_and_moves_no_point(
    served: Mapping[str, Any], context: Context
) -> None:
    before = score(served, context, customer="c-1")
    served["open_case"](suspect(customer="c-1", score=0.7), context)
    found = score(served, context, customer="c-1")

    assert (before.decision, before.fraud, before.refer_because) == ("approve", None, [])
    assert (found.decision, found.points_exact) == ("refer", before.points_exact)
    assert found.refer_because == [DOUBT]
    assert found.fraud is not None
    assert (found.fraud.open_cases, found.fraud.confirmed_cases, found.fraud.score) == (1, 0, 0.7)


def test_a_case_found_genuine_says_nothing_and_a_confirmed_one_goes_on_saying_it(
    served: Mapping[str, Any], context: Context
) -> None:
    for subject, decision, reason in (("t-1", "genuine", "false_alarm"), ("t-2", "fraud", "known_pattern")):
        case = served["open_case"](suspect(subject, customer=f"c-{subject}"), context)
        served["decide_case"](verdict(case.case_id, decision, reason), context)

    assert score(served, context, customer="c-t-1").fraud is None
    assert score(served, context, customer="c-t-2").refer_because == ["Suspected fraud: 0 cases open, 1 confirmed"]


@pytest.mark.parametrize("changes", [{"customer": "c-2"}, {}])
def test_a_case_is_of_its_customer_alone(served: Mapping[str, Any], context: Context, changes: dict[str, str]) -> None:
    served["open_case"](suspect(customer="c-1"), context)

    assert score(served, context, **changes).decision == "approve"
    assert score(served, replace(context, tenant="other"), customer="c-1").decision == "approve"


def test_every_way_decides_alike(served: Mapping[str, Any], context: Context) -> None:
    served["open_case"](suspect(customer="c-1"), context)
    rows = [GOOD | {"application_id": f"a-{i}", "customer": customer} for i, customer in enumerate(["c-1", "c-2"])]
    ones = [score(served, context, **row) for row in rows]
    file = UploadedFile(filename="a.csv", content=csv_of(*rows))
    answer = b"".join(served["score_batch"](schemas.BatchRequest(file=file), context).chunks)
    lines = list(csv.DictReader(io.StringIO(answer.decode())))
    fields = [{k: v for k, v in row.items() if k != "application_id"} for row in rows]
    explained = [served["explain"](serving_schemas.ExplainRequest.model_validate(row), context) for row in fields]

    assert [one.decision for one in ones] == ["refer", "approve"]
    assert [line["decision"] for line in lines] == [one.decision for one in ones]
    assert [one.decision for one in explained] == [one.decision for one in ones]
    assert [one.fraud for one in explained] == [one.fraud for one in ones]


def test_no_change_of_an_application_answers_a_suspicion(served: Mapping[str, Any], context: Context) -> None:
    served["open_case"](suspect(customer="c-1"), context)
    asked = {k: v for k, v in GOOD.items() if k != "application_id"} | {"customer": "c-1"}
    found = served["counterfactual"](serving_schemas.CounterfactualRequest.model_validate(asked), context)

    assert (found.ways, found.approved) == ([], False)
    assert DOUBT in found.explanation


@pytest.mark.parametrize("later", ["decided", "erased"])
def test_a_decision_is_made_again_to_the_bit_whatever_became_of_the_case(
    full_registry: FolderRegistry,
    served: Mapping[str, Handler],
    context: Context,
    recorder: Recorder,
    later: str,
) -> None:
    case: Any = served["open_case"](suspect(customer="c-1"), context)
    asked = schemas.ScoreRequest.model_validate(GOOD | {"customer": "c-1"})
    served["score"](asked, context)
    entry = json.loads(json.dumps(recorder.decisions[-1].__dict__))
    if later == "decided":
        served["decide_case"](verdict(case.case_id, "genuine", "false_alarm"), context)
    else:
        served["erase_events"](EraseRequest(customer="c-1"), context)
    book: PolicyBook = served["score"].answer_all.__self__.policies  # type: ignore[attr-defined]
    found = replay(full_registry, entry, asked, policy_of=lambda version: book.get("bank", version))

    assert entry["outcome"]["sources"]["fraud"] == {"open_cases": 1, "confirmed_cases": 0, "score": 0.5}
    assert found.is_exact, found.differences


def test_an_erased_customer_is_no_longer_named_by_a_case(served: Mapping[str, Any], context: Context) -> None:
    case = served["open_case"](suspect(customer="c-1"), context)
    served["erase_events"](EraseRequest(customer="c-1"), context)

    assert score(served, context, customer="c-1").fraud is None
    assert served["case"](CaseRequest(case_id=case.case_id), context).customer is None
