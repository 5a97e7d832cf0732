"""Versions of the policy: stored once, brought into force, rolled back, audited, and obeyed by the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import ValidationError

from tests.verticals.finance.applications import body
from tests.verticals.finance.conftest import FolderRegistry, Recorder
from verticals.contract import Conflict, Context, Handler, InvalidInput, NotFound, Resources, Unavailable
from verticals.finance import VERTICAL, schemas
from verticals.finance import policy_schemas as s
from verticals.finance.policy import POLICY
from verticals.finance.policy_tables import FinancePolicy

WHY = "Decided by the credit committee"


def draft(**changes: Any) -> s.PolicyDraft:
    [example] = next(o for o in VERTICAL.operations if o.name == "store_policy").examples.values()
    return s.PolicyDraft.model_validate({**example, **changes})


def override(**changes: Any) -> dict[str, Any]:
    return {
        "code": "K01", "field": "purpose", "operator": "in", "values": ["car_new"], "decision": "decline",
        "reason": "New cars are not financed at present",
    } | changes  # fmt: skip


@pytest.fixture
def ask(handlers: Mapping[str, Handler], context: Context) -> Callable[..., Any]:
    return lambda name, request: handlers[name](request, context)


def activate(ask: Callable[..., Any], version: str) -> Any:
    return ask("activate_policy", s.ActivateRequest(version=version, reason=WHY))


def score(ask: Callable[..., Any], **changes: Any) -> schemas.ScoreResponse:
    found = ask("score", schemas.ScoreRequest.model_validate(body(**changes)))
    assert isinstance(found, schemas.ScoreResponse)
    return found


def test_the_built_in_policy_is_in_force_until_another_is_activated(ask: Callable[..., Any]) -> None:
    page = ask("policies", s.PoliciesRequest())

    assert (page.active, page.total, page.activations) == (POLICY.version, 1, [])
    assert page.policies[0].built_in
    assert page.policies[0].active


def test_storing_decides_nothing_and_activating_decides_at_once(ask: Callable[..., Any]) -> None:
    ask("store_policy", draft(version="strict", approve_at=700, decline_below=650, overrides=[]))
    before = score(ask)
    activate(ask, "strict")
    after = score(ask)

    assert (before.policy.version, before.decision) == (POLICY.version, "decline")
    assert (after.policy.version, after.policy.approve_at) == ("strict", 700)
    assert after.points_exact == before.points_exact


def test_cut_offs_follow_from_costs_unless_they_are_set(ask: Callable[..., Any]) -> None:
    same = draft(version="same", cost_bad_approved=5, cost_good_declined=1, cost_review=0.5, overrides=[])
    by_costs, by_hand = (
        ask("store_policy", same),
        ask("store_policy", draft(version="set", approve_at=560, decline_below=480)),
    )

    assert (by_costs.policy.approve_at, by_costs.policy.decline_below) == (551, 487)
    assert (by_hand.policy.approve_at, by_hand.policy.decline_below) == (560, 480)
    assert "owner set" in by_hand.policy.rule


def test_rolling_back_goes_back_step_by_step(ask: Callable[..., Any]) -> None:
    for version in ("a", "b"):
        ask("store_policy", draft(version=version))
        activate(ask, version)
    backs = [ask("roll_back_policy", s.RollBackRequest(reason=WHY)).policy.version for _ in range(2)]

    assert backs == ["a", POLICY.version]
    with pytest.raises(Conflict, match="no other policy was in force before"):
        ask("roll_back_policy", s.RollBackRequest(reason=WHY))
    page = ask("policies", s.PoliciesRequest())
    assert [(a.number, a.step, a.version, a.previous) for a in page.activations] == [
        (4, "roll back", POLICY.version, "a"),
        (3, "roll back", "a", "b"),
        (2, "activate", "b", "a"),
        (1, "activate", "a", POLICY.version),
    ]
    assert score(ask).policy.version == POLICY.version


def test_after_a_roll_back_the_way_back_from_a_new_version_leads_there(ask: Callable[..., Any]) -> None:
    for version in ("a", "b", "c"):
        ask("store_policy", draft(version=version))
    activate(ask, "a")
    activate(ask, "b")
    ask("roll_back_policy", s.RollBackRequest(reason=WHY))
    activate(ask, "c")

    assert ask("roll_back_policy", s.RollBackRequest(reason=WHY)).policy.version == "a"


def test_a_version_never_changes(ask: Callable[..., Any]) -> None:
    first = ask("store_policy", draft(version="x"))

    for taken in ("x", POLICY.version):
        with pytest.raises(Conflict, match=r"version: exists already .* Name another"):
            ask("store_policy", draft(version=taken, cost_review=0.3))
    assert ask("policy", s.PolicyRequest(version="x")) == first


def test_each_step_is_audited_with_the_policys_fingerprint(ask: Callable[..., Any], recorder: Recorder) -> None:
    stored = ask("store_policy", draft(version="x"))
    activate(ask, "x")
    ask("roll_back_policy", s.RollBackRequest(reason=WHY))

    assert [(d.kind, d.subject, d.outcome["step"]) for d in recorder.decisions] == [
        ("finance.policy", "x", "store"),
        ("finance.policy", "x", "activate"),
        ("finance.policy", POLICY.version, "roll back"),
    ]
    assert recorder.decisions[0].input_sha256 == recorder.decisions[1].input_sha256 == stored.sha256
    assert all(session is not None for session in recorder.sessions)


def test_nothing_changes_when_the_audit_fails(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources], context: Context
) -> None:
    handlers = VERTICAL.build(make_resources(registry))
    broken = Context(
        tenant="bank", actor="k", request_id="r", record=Recorder(failure=Unavailable("the audit is down"))
    )
    with pytest.raises(Unavailable, match="the audit is down"):
        handlers["store_policy"](draft(version="x"), broken)
    handlers["store_policy"](draft(version="x"), context)
    with pytest.raises(Unavailable, match="the audit is down"):
        handlers["activate_policy"](s.ActivateRequest(version="x", reason=WHY), broken)

    page: Any = handlers["policies"](s.PoliciesRequest(), context)
    assert page.active == POLICY.version


def test_a_tenant_sees_and_obeys_its_own_policies_alone(handlers: Mapping[str, Handler], context: Context) -> None:
    other = Context(tenant="other", actor="k", request_id="r", record=Recorder())
    handlers["store_policy"](draft(version="x"), context)
    handlers["activate_policy"](s.ActivateRequest(version="x", reason=WHY), context)

    with pytest.raises(NotFound, match="no such policy"):
        handlers["policy"](s.PolicyRequest(version="x"), other)
    found: Any = handlers["score"](schemas.ScoreRequest.model_validate(body()), other)
    assert found.policy.version == POLICY.version


def test_pages_hold_every_version_once_and_the_built_in_last(ask: Callable[..., Any]) -> None:
    for i in range(5):
        ask("store_policy", draft(version=f"v{i}"))
    pages = [ask("policies", s.PoliciesRequest(limit=2, offset=o)).policies for o in (0, 2, 4)]

    assert [p.policy.version for page in pages for p in page] == ["v4", "v3", "v2", "v1", "v0", POLICY.version]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"cost_review": 1.0}, r"cost_review: must be below both other costs \(1\)"),
        ({"approve_at": 500}, "both cut-offs or neither"),
        ({"approve_at": 480, "decline_below": 500}, "must not exceed approve_at"),
        ({"cost_review": 0.99}, "must not exceed approve_at"),
        ({"overrides": [override(field="age_years")]}, r"overrides.K01.field: must be a scored field"),
        ({"overrides": [override(values=["yacht"])]}, r"overrides.K01.values: must be among .* \(got 'yacht'\)"),
        ({"overrides": [override(operator="at_least")]}, "must be in or not_in for this field"),
        ({"overrides": [override(field="duration_months", values=["12"])]}, "must be at_least or at_most"),
        (
            {"overrides": [override(field="duration_months", operator="at_least", values=["12"])]},
            "must be one number",
        ),
        ({"overrides": [override(), override()]}, "each code once"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(ask: Callable[..., Any], change: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        ask("store_policy", draft(**change))


def test_a_policy_is_not_activated_before_its_day_nor_twice_nor_unknown(ask: Callable[..., Any]) -> None:
    ask("store_policy", draft(version="later", effective_from="2999-01-01"))

    with pytest.raises(Conflict, match="is effective from 2999-01-01"):
        activate(ask, "later")
    with pytest.raises(Conflict, match="is in force already"):
        activate(ask, POLICY.version)
    with pytest.raises(NotFound, match=r"version: no such policy \(got 'nowhere'\)"):
        activate(ask, "nowhere")


def test_an_override_needs_a_reason() -> None:
    with pytest.raises(ValidationError, match="reason"):
        draft(overrides=[override(reason="no")])


def with_overrides(ask: Callable[..., Any], *overrides: dict[str, Any]) -> None:
    ask("store_policy", draft(version="o", approve_at=300, decline_below=200, overrides=list(overrides)))
    activate(ask, "o")


def test_an_override_declines_with_its_reason(ask: Callable[..., Any]) -> None:
    with_overrides(ask, override())
    hit, miss = score(ask, purpose="car_new"), score(ask, purpose="repairs")

    assert (hit.decision, hit.declined_because) == ("decline", ["New cars are not financed at present"])
    assert (miss.decision, miss.declined_because) == ("approve", [])


def test_an_override_refers_to_a_person_with_its_reason(ask: Callable[..., Any]) -> None:
    rule = override(field="credit_amount_dm", operator="at_least", values=[5000], decision="refer", code="K02")
    with_overrides(ask, override(), rule)
    both = score(ask, purpose="car_new", credit_amount_dm=5000)

    assert both.decision == "refer"
    assert both.refer_because == both.declined_because == ["New cars are not financed at present"]
    assert score(ask, purpose="repairs", credit_amount_dm=4999).decision == "approve"


def test_a_value_that_is_not_known_matches_no_override(ask: Callable[..., Any]) -> None:
    with_overrides(ask, override(operator="not_in", values=["repairs"]))
    found = score(ask, purpose=None)

    assert (found.decision, found.declined_because) == ("refer", [])


def test_of_changes_at_the_same_time_each_is_whole_or_refused(ask: Callable[..., Any]) -> None:
    versions = [f"v{i}" for i in range(6)]
    for version in versions:
        ask("store_policy", draft(version=version))

    def attempt(version: str) -> bool:
        try:
            return bool(activate(ask, version).active)
        except Conflict:
            return False

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, versions))
    page = ask("policies", s.PoliciesRequest())
    steps = page.activations[::-1]
    assert [a.number for a in steps] == list(range(1, len(steps) + 1))
    assert [a.previous for a in steps] == [POLICY.version, *(a.version for a in steps[:-1])]
    assert page.active == steps[-1].version == score(ask).policy.version


def test_a_policy_that_was_changed_in_the_database_decides_nothing(
    registry: FolderRegistry, make_resources: Callable[[Any], Resources], context: Context
) -> None:
    resources = make_resources(registry)
    handlers = VERTICAL.build(resources)
    handlers["store_policy"](draft(version="x"), context)
    handlers["activate_policy"](s.ActivateRequest(version="x", reason=WHY), context)
    with resources.sessions.begin() as db:
        row = db.get_one(FinancePolicy, ("bank", "x"))
        row.content = row.content | {"approve_at": 1}

    with pytest.raises(Unavailable, match="differs from its SHA-256"):
        VERTICAL.build(resources)["score"](schemas.ScoreRequest.model_validate(body()), context)
    VERTICAL.build(resources)["roll_back_policy"](s.RollBackRequest(reason=WHY), context)
    found: Any = VERTICAL.build(resources)["score"](schemas.ScoreRequest.model_validate(body()), context)
    assert found.policy.version == POLICY.version
