"""Keys open their tenant's scopes, and nothing else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service.auth import ApiKey, Caller, KeyRing, Unauthenticated
from verticals.contract import PermissionDenied


@pytest.fixture
def keys(sessions: sessionmaker[Session]) -> KeyRing:
    return KeyRing(sessions)


def test_a_key_names_its_tenant_and_scopes(keys: KeyRing) -> None:
    caller = keys.authenticate(keys.issue(tenant="acme", label="web", scopes=["finance.score"]))

    assert (caller.tenant, caller.scopes) == ("acme", ("finance.score",))


def test_only_a_hash_is_stored(keys: KeyRing, sessions: sessionmaker[Session]) -> None:
    key = keys.issue(tenant="acme", label="web")

    with sessions() as session:
        row = session.scalars(select(ApiKey)).one()
    assert key.split("_", 2)[2] not in str(vars(row))


def test_an_expired_key_is_refused(keys: KeyRing) -> None:
    key = keys.issue(tenant="acme", label="old", lifetime=timedelta(seconds=-1))

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(key)


def test_a_revoked_key_is_refused_at_once(keys: KeyRing) -> None:
    key = keys.issue(tenant="acme", label="lost", lifetime=timedelta(days=1))
    keys.authenticate(key)
    assert keys.revoke(key.split("_")[1])

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(key)


@pytest.mark.parametrize("tampered", ["", "tvm", "tvm__", "tvm_0_0", "sk-123", "tvm_" + "0" * 500])
def test_anything_else_is_refused(keys: KeyRing, tampered: str) -> None:
    keys.issue(tenant="acme", label="web")

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(tampered)


def test_one_keys_id_with_anothers_secret_is_refused(keys: KeyRing) -> None:
    first, second = (keys.issue(tenant=name, label="web").split("_", 2) for name in ("acme", "other"))

    with pytest.raises(Unauthenticated, match="unknown"):
        keys.authenticate("_".join([first[0], first[1], second[2]]))


@pytest.mark.parametrize("scope", ["finance.score", "finance.*", "*"])
def test_a_scope_covers_its_operation(scope: str) -> None:
    Caller("acme", "k", (scope,)).require("finance.score")


@pytest.mark.parametrize("scope", ["finance.model", "medical.*", "finance", ""])
def test_other_scopes_do_not(scope: str) -> None:
    with pytest.raises(PermissionDenied, match=r"finance\.score"):
        Caller("acme", "k", (scope,)).require("finance.score")
