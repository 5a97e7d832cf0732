"""Manual decisions: recorded beside the policy's, confirmed by a second person where the policy asks, counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from tests.intruder import between, intruder
from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from verticals.contract import Conflict, Context, Handler, InvalidInput, NotFound, PermissionDenied, Resources
from verticals.finance import VERTICAL, policy_schemas, schemas
from verticals.finance.manual import schemas as m
from verticals.finance.manual.desk import OverrideDesk
from verticals.finance.manual.reasons import REASONS
from verticals.finance.portfolio.schemas import OutcomesRequest, PortfolioRequest
from verticals.finance.validation.schemas import ReportRequest

STEADY = next(o for o in VERTICAL.operations if o.name == "score").examples["steady"]
WHY = "Salary slips of three months were seen"


@pytest.fixture
def resources(registry: FolderRegistry, make_resources: Callable[[Any], Resources]) -> Resources:
    return make_resources(registry)


@pytest.fixture
def handlers(resources: Resources) -> Mapping[str, Handler]:
    return VERTICAL.build(resources)


@pytest.fixture
def colleague(recorder: Recorder) -> Context:
    return Context(tenant="bank", actor="key-2", request_id="r-2", record=recorder)


def scored(handlers: Mapping[str, Handler], context: Context, name: str, **changes: Any) -> str:
    """Score an application; what the policy decides."""
    request = schemas.ScoreRequest.model_validate(body(application_id=name, **changes))
    found: Any = handlers["score"](request, context)
    return str(found.decision)


def override(
    handlers: Mapping[str, Handler], context: Context, name: str, decision: str = "approve", reason: str = "M01"
) -> m.ManualOverride:
    told = {"application_id": name, "decision": decision, "reason": reason, "text": WHY}
    found: Any = handlers["override_decision"](m.OverrideRequest.model_validate(told), context)
    return found


def confirm(
    handlers: Mapping[str, Handler], context: Context, override_id: str, *, agree: bool = True
) -> m.ManualOverride:
    request = m.ConfirmRequest(override_id=override_id, agree=agree, text="Seen the same slips")
    found: Any = handlers["confirm_override"](request, context)
    return found


def record(handlers: Mapping[str, Handler], context: Context, name: str) -> m.ApplicationRecord:
    found: Any = handlers["application_record"](m.RecordRequest(application_id=name), context)
    return found


def ask_four_eyes(handlers: Mapping[str, Handler], context: Context) -> None:
    draft = {
        "version": "four-eyes", "effective_from": "2026-01-01", "cost_bad_approved": 5, "cost_good_declined": 1,
        "cost_review": 0.5, "four_eyes": ["low_side"], "source": "The credit committee",
    }  # fmt: skip
    handlers["store_policy"](policy_schemas.PolicyDraft.model_validate(draft), context)
    handlers["activate_policy"](
        policy_schemas.ActivateRequest(version="four-eyes", reason="Asked for by the auditors"), context
    )


def test_the_record_shows_what_the_policy_and_what_a_person_decided(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    assert scored(handlers, context, "a-1") == "decline"
    made = override(handlers, context, "a-1")
    found = record(handlers, context, "a-1")
    page: Any = handlers["decisions"](schemas.DecisionsRequest(), context)

    assert (made.automatic, made.decision, made.direction, made.state) == (
        "decline", "approve", "low_side", "in_force",
    )  # fmt: skip
    assert (made.decided_by, made.reason, made.text) == ("key-1", "M01", WHY)
    assert made.reason_text_zh == REASONS["M01"].text_zh
    assert (found.decision, found.decided_by) == ("approve", "key-1")
    assert [(one.decision, [o.decision for o in one.overrides]) for one in found.scorings] == [("decline", ["approve"])]
    assert page.items[0].decision == "decline"
    assert page.items[0].manual == schemas.ManualMark(decision="approve", state="in_force", reason="M01")
    entry = recorder.decisions[-1]
    assert (entry.kind, entry.subject) == ("finance.override", "a-1")
    assert entry.outcome["automatic"] == "decline"
    assert entry.outcome["decision"] == "approve"
    assert WHY not in str(entry.outcome)
    assert recorder.sessions[-1] is not None


def test_where_the_policy_asks_for_four_eyes_another_key_confirms(
    handlers: Mapping[str, Handler], context: Context, colleague: Context, recorder: Recorder
) -> None:
    ask_four_eyes(handlers, context)
    scored(handlers, context, "a-1")
    made = override(handlers, context, "a-1")
    assert (made.state, record(handlers, context, "a-1").decision) == ("proposed", "decline")
    waiting: Any = handlers["proposed_overrides"](m.ProposedRequest(), colleague)
    assert [one.override_id for one in waiting.items] == [made.override_id]

    with pytest.raises(PermissionDenied, match="by another key than the one that decided"):
        confirm(handlers, context, made.override_id)
    done = confirm(handlers, colleague, made.override_id)

    assert (done.state, done.decided_by, done.second_by) == ("in_force", "key-1", "key-2")
    assert record(handlers, context, "a-1").decision == "approve"
    assert recorder.decisions[-1].outcome["state"] == "in_force"
    with pytest.raises(Conflict, match="does not wait"):
        confirm(handlers, colleague, made.override_id)


def test_a_rejected_decision_changes_nothing_and_stays_on_record(
    handlers: Mapping[str, Handler], context: Context, colleague: Context
) -> None:
    ask_four_eyes(handlers, context)
    scored(handlers, context, "a-1")
    made = override(handlers, context, "a-1")
    with pytest.raises(Conflict, match="waits for a second person"):
        override(handlers, colleague, "a-1")
    confirm(handlers, colleague, made.override_id, agree=False)
    found = record(handlers, context, "a-1")

    assert (found.decision, found.decided_by) == ("decline", None)
    assert [one.state for one in found.scorings[0].overrides] == ["rejected"]
    page: Any = handlers["decisions"](schemas.DecisionsRequest(), context)
    assert page.items[0].manual is None


def test_a_score_made_since_is_not_decided_by_an_older_proposal(
    handlers: Mapping[str, Handler], context: Context, colleague: Context
) -> None:
    ask_four_eyes(handlers, context)
    scored(handlers, context, "a-1")
    made = override(handlers, context, "a-1")
    scored(handlers, context, "a-1", duration_months=36)

    with pytest.raises(Conflict, match="scored again since"):
        confirm(handlers, colleague, made.override_id)
    assert confirm(handlers, colleague, made.override_id, agree=False).state == "rejected"


def test_a_later_decision_replaces_and_both_stay(handlers: Mapping[str, Handler], context: Context) -> None:
    scored(handlers, context, "a-1")
    override(handlers, context, "a-1")
    override(handlers, context, "a-1", "decline", "M07")
    found = record(handlers, context, "a-1")

    assert found.decision == "decline"
    assert [one.decision for one in found.scorings[0].overrides] == ["approve", "decline"]
    with pytest.raises(Conflict, match="is decided so already"):
        override(handlers, context, "a-1", "decline", "M07")


def test_a_new_score_is_the_policys_again(handlers: Mapping[str, Handler], context: Context) -> None:
    scored(handlers, context, "a-1")
    override(handlers, context, "a-1")
    scored(handlers, context, "a-1")

    found = record(handlers, context, "a-1")
    assert (found.decision, found.decided_by, len(found.scorings)) == ("decline", None, 2)


def test_what_cannot_be_is_refused(handlers: Mapping[str, Handler], context: Context) -> None:
    scored(handlers, context, "a-1")

    with pytest.raises(NotFound, match="was never scored here"):
        override(handlers, context, "a-2")
    with pytest.raises(InvalidInput, match=r"reason: must fit the decision 'approve'.* Give one of M01"):
        override(handlers, context, "a-1", "approve", "M07")
    with pytest.raises(Conflict, match="is decided so already"):
        override(handlers, context, "a-1", "decline", "M06")
    with pytest.raises(NotFound, match="no such manual decision"):
        confirm(handlers, context, "override-1")
    for change in ({"text": "short"}, {"decision": "refer"}, {"reason": "M99"}, {"by": "me"}):
        told = {"application_id": "a-1", "decision": "approve", "reason": "M01", "text": WHY} | change
        with pytest.raises(ValidationError):
            m.OverrideRequest.model_validate(told)


def test_another_tenants_applications_do_not_exist(
    handlers: Mapping[str, Handler], context: Context, recorder: Recorder
) -> None:
    scored(handlers, context, "a-1")
    other = Context(tenant="other", actor="k", request_id="r", record=recorder)

    with pytest.raises(NotFound, match="was never scored here"):
        override(handlers, other, "a-1")
    with pytest.raises(NotFound, match="was never scored here"):
        record(handlers, other, "a-1")


def test_without_an_audit_entry_nothing_is_decided(handlers: Mapping[str, Handler], context: Context) -> None:
    scored(handlers, context, "a-1")
    failing = Context(tenant="bank", actor="k", request_id="r", record=Recorder(failure=OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        override(handlers, failing, "a-1")
    assert record(handlers, context, "a-1").scorings[0].overrides == []


def test_portfolio_and_validation_count_them_by_direction_and_reason(
    handlers: Mapping[str, Handler], context: Context
) -> None:
    for i in range(4):
        assert scored(handlers, context, f"bad-{i}") == "decline"
    for i in range(3):
        assert scored(handlers, context, f"good-{i}", **{k: v for k, v in STEADY.items() if k != "application_id"}) == (
            "approve"
        )
    override(handlers, context, "bad-0")
    override(handlers, context, "bad-1", "approve", "M03")
    override(handlers, context, "good-0", "decline", "M06")
    today = datetime.now(UTC).date()
    told = [{"application_id": f"bad-{i}", "defaulted": i == 0, "observed_on": today} for i in range(2)]
    handlers["record_outcomes"](OutcomesRequest.model_validate({"outcomes": told}), context)

    portfolio: Any = handlers["portfolio"](PortfolioRequest(), context)
    report: Any = handlers["validation"](ReportRequest(), context)

    rows = {one.direction: one for one in portfolio.overrides}
    assert (rows["low_side"].count, rows["low_side"].of, rows["low_side"].rate) == (2, 4, 0.5)
    assert rows["low_side"].low < 0.5 < rows["low_side"].high
    assert rows["low_side"].reasons == {"M01": 1, "M03": 1}
    assert (rows["low_side"].approved_known, rows["low_side"].approved_defaults) == (2, 1)
    assert (rows["high_side"].count, rows["high_side"].of) == (1, 3)
    assert (rows["referral"].rate, rows["referral"].of) == (None, 0)
    [vintage] = portfolio.vintages
    assert vintage.approved == 2 + 2, "granted by a person counts, declined by one does not"
    evidence = [row for row in report.rows if row.section == "overrides"]
    assert [(row.value, row.n, row.grade) for row in evidence] == [
        (0.5, 4, "information"), (pytest.approx(1 / 3), 3, "information"), (None, 0, "not measured"),
    ]  # fmt: skip
    assert "overrides" in {rule.rule for rule in report.rules}
    assert report.grades["information"] >= 2


def test_a_decision_is_never_changed_in_its_own_row(
    handlers: Mapping[str, Handler], context: Context, resources: Resources
) -> None:
    scored(handlers, context, "a-1")
    override(handlers, context, "a-1")

    with resources.sessions() as session:
        assert session.execute(text("select decision from finance_decisions")).all() == [("decline",)]


def test_of_two_who_decide_the_same_otherwise_at_once_one_is_told(
    handlers: Mapping[str, Handler], resources: Resources, context: Context, colleague: Context
) -> None:
    scored(handlers, context, "a-1")
    engine, refused = resources.sessions.kw["bind"], []

    def decide(by: Any, who: Context) -> None:
        told = {"application_id": "a-1", "decision": "approve", "reason": "M01", "text": WHY}
        desk = OverrideDesk(by, lambda _: SimpleNamespace(four_eyes=[]))  # type: ignore[arg-type, return-value]
        try:
            desk.override(m.OverrideRequest.model_validate(told), who)
        except Conflict:
            refused.append(who.actor)

    with intruder(engine) as own, between(engine, lambda: decide(own, colleague), after="FROM finance_overrides"):
        decide(resources.sessions, context)

    assert len(refused) == 1
    assert len(record(handlers, context, "a-1").scorings[0].overrides) == 1
