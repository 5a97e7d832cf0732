"""A key's secret is replaced without a gap, its last use is known, and what has ended stays so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, update
from sqlalchemy.orm import Session, sessionmaker

from service.auth import USE_NOTED_EVERY, ApiKey, KeyRing, Unauthenticated
from service.storage import make_sessions
from tests.databases import migrated_engine
from tests.intruder import between, intruder
from verticals.contract import Conflict


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = migrated_engine(tmp_path_factory.mktemp("keys"))
    yield found
    found.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return make_sessions(engine)


@pytest.fixture
def keys(sessions: sessionmaker[Session]) -> KeyRing:
    return KeyRing(sessions)


def _rotated(keys: KeyRing, *, grace: timedelta) -> tuple[str, str]:
    old = keys.issue(tenant="acme", label="till", scopes=["finance.*"])
    new = keys.rotate(old.split("_")[1], grace=grace)
    assert new is not None
    return old, new


def test_a_rotated_keys_secrets_both_open_it_while_the_grace_lasts(keys: KeyRing) -> None:
    old, new = _rotated(keys, grace=timedelta(hours=24))

    assert old != new
    assert keys.authenticate(old) == keys.authenticate(new)
    assert keys.authenticate(new).scopes == ("finance.*",)


def test_the_old_secret_ends_with_the_grace_and_the_new_one_does_not(keys: KeyRing) -> None:
    old, new = _rotated(keys, grace=timedelta(0))

    keys.authenticate(new)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(old)


def test_a_known_secret_is_not_known_longer_than_its_grace(keys: KeyRing, sessions: sessionmaker[Session]) -> None:
    clock = [0.0]
    keys = KeyRing(sessions, clock=lambda: clock[0])
    old, _new = _rotated(keys, grace=timedelta(seconds=1))
    keys.authenticate(old)
    assert keys.recent(old) is not None

    clock[0] = 1.0
    assert keys.recent(old) is None


def test_a_second_rotation_ends_the_first_secret(keys: KeyRing) -> None:
    first, second = _rotated(keys, grace=timedelta(hours=24))
    third = keys.rotate(first.split("_")[1], grace=timedelta(hours=24))

    assert third is not None
    assert keys.authenticate(second) == keys.authenticate(third)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(first)


def test_revoking_ends_both_secrets(keys: KeyRing) -> None:
    for secret in (pair := _rotated(keys, grace=timedelta(hours=24))):
        keys.authenticate(secret)
    keys.revoke(pair[0].split("_")[1])

    for secret in pair:
        assert keys.recent(secret) is None
        with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
            keys.authenticate(secret)


def test_what_has_ended_is_not_rotated_into_life(keys: KeyRing) -> None:
    expired = keys.issue(tenant="acme", label="old", lifetime=timedelta(seconds=-1)).split("_")[1]
    revoked = keys.issue(tenant="acme", label="lost").split("_")[1]
    keys.revoke(revoked)

    for key_id in (expired, revoked):
        with pytest.raises(Conflict, match="has expired or was revoked"):
            keys.rotate(key_id, grace=timedelta(hours=1))
    assert keys.rotate("nobody", grace=timedelta(hours=1)) is None


def test_a_key_that_was_never_rotated_is_not_opened_by_an_empty_secret(keys: KeyRing) -> None:
    key_id = keys.issue(tenant="acme", label="till").split("_")[1]

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(f"tvm_{key_id}_")


def test_demo_keys_end_by_their_label_and_others_do_not(keys: KeyRing) -> None:
    demo = keys.issue(tenant="demo", label="demo key", lifetime=timedelta(days=1))
    other = keys.issue(tenant="demo", label="till", lifetime=timedelta(days=1))

    assert keys.revoke_labelled("demo key") == 1
    keys.authenticate(other)
    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        keys.authenticate(demo)
    assert keys.revoke_labelled("demo key") == 0


# --- last use ---------------------------------------------------------------------------------------------------------


def test_the_last_use_is_noted_now_and_then(keys: KeyRing, sessions: sessionmaker[Session]) -> None:
    key = keys.issue(tenant="used", label="till")
    assert keys.list("used")[0].last_used_at is None
    keys.authenticate(key)
    noted = keys.list("used")[0].last_used_at
    assert noted is not None

    keys.authenticate(key)
    assert keys.list("used")[0].last_used_at == noted

    with sessions.begin() as session:
        session.execute(update(ApiKey).values(last_used_at=datetime.now(UTC) - USE_NOTED_EVERY))
    keys.authenticate(key)
    assert (keys.list("used")[0].last_used_at or noted) > noted


def test_a_database_that_takes_no_writes_still_lets_a_key_in(engine: Engine, keys: KeyRing) -> None:
    key = keys.issue(tenant="full", label="till")

    closed = {"sqlite": "PRAGMA query_only=ON", "postgresql": "SET default_transaction_read_only = on"}

    def read_only(connection: Any, *_: object) -> None:
        connection.execute(closed[engine.dialect.name])
        connection.commit()

    engine.dispose()
    event.listen(engine, "connect", read_only)
    try:
        assert keys.authenticate(key).tenant == "full"
        assert keys.list("full")[0].last_used_at is None
    finally:
        event.remove(engine, "connect", read_only)
        engine.dispose()


def test_of_two_who_rotate_at_once_neither_is_given_a_secret_that_opens_nothing(keys: KeyRing, engine: Engine) -> None:
    given = [keys.issue(tenant="acme", label="till")]

    def rotate(ring: KeyRing) -> None:
        given.append(ring.rotate(given[0].split("_")[1], grace=timedelta(hours=1)) or "")

    with intruder(engine) as own, between(engine, lambda: rotate(KeyRing(own)), after="FROM api_keys"):
        rotate(keys)

    assert [keys.authenticate(key).tenant for key in given[1:]] == ["acme"] * 2
