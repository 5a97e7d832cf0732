"""The table of roles names what there is, and leaves out nothing by accident."""

from __future__ import annotations

import pytest

from service.discovery import discover
from service.roles import ROLES, covers, scopes_of

AREAS = {"audit", "evals", "models", "operations", "core", "keys"}  # of the service itself
# What only an administrator may do: erase, switch what others are shown, feed machines' data, act for customers.
ADMINISTRATORS = {
    "finance.erase_events",
    "medical.enable_few_shot",
    "medical.disable_few_shot",
    "medical.roll_back_few_shot",
    "support.give_consent",
    "support.withdraw_consent",
    "support.send_signal",
}


def _declared() -> set[str]:
    return {f"{vertical.name}.{one.name}" for vertical in discover().values() for one in vertical.operations}


def test_every_scope_of_a_role_is_an_operation_that_exists() -> None:
    named = {scope for scopes in ROLES.values() for scope in scopes if scope.partition(".")[0] not in AREAS | {"*"}}

    assert named - _declared() == set()


def test_every_operation_belongs_to_a_role_or_to_administrators_on_purpose() -> None:
    open_to = {scope for role, scopes in ROLES.items() if role != "admin" for scope in scopes}

    assert {name for name in _declared() if not covers(open_to, name)} == ADMINISTRATORS


def test_who_proposes_and_who_confirms_have_different_roles() -> None:
    pairs = [
        ("finance.override_decision", "finance.confirm_override"),
        ("finance.store_policy", "finance.activate_policy"),
    ]

    for first, second in pairs:
        assert not [
            role for role in ROLES if role != "admin" and covers(ROLES[role], first) and covers(ROLES[role], second)
        ]


def test_roles_add_up_and_unknown_ones_add_nothing() -> None:
    assert scopes_of(["agent", "operator", "wizard"]) == (*ROLES["agent"], *ROLES["operator"])
    assert scopes_of(["operator", "operator"]) == ROLES["operator"]
    assert scopes_of([]) == ()


@pytest.mark.parametrize(
    ("scopes", "is_covered"), [(["a.b"], True), (["a.*"], True), (["*"], True), (["a.c", "b.*"], False)]
)
def test_a_scope_is_covered_by_itself_its_area_and_everything(scopes: list[str], is_covered: bool) -> None:
    assert covers(scopes, "a.b") is is_covered


def test_everything_of_a_tenant_is_not_what_all_tenants_share() -> None:
    assert not covers(["*"], "models.rollout")
    assert covers(["models.*"], "models.rollout")
