"""A key carries a request out once, also for two processes; the answer is kept for a day and no longer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service.audit import AuditLog
from service.idempotency import ABANDONED, Claim, IdempotencyKeys, IdempotentRequest, InProgress, StoredAnswer
from verticals.contract import Conflict, Decision, InvalidInput

ANSWER = StoredAnswer(200, "application/json", '{"a":1}')


class Clock:
    """A day and a time that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(sessions: sessionmaker[Session], clock: Callable[[], datetime]) -> IdempotencyKeys:
    return IdempotencyKeys(sessions, now=clock)


def claim(keys: IdempotencyKeys, request: bytes = b"x", *, tenant: str = "acme", key_id: str = "k") -> Claim:
    found = keys.begin(tenant, key_id, "key-1", request)
    assert isinstance(found, Claim)
    return found


def test_the_same_request_again_gets_the_stored_answer(keys: IdempotencyKeys) -> None:
    keys.finish(claim(keys), ANSWER)

    assert keys.begin("acme", "k", "key-1", b"x") == ANSWER


def test_another_request_under_the_key_is_refused(keys: IdempotencyKeys) -> None:
    claim(keys)

    with pytest.raises(InvalidInput, match="was used for another request"):
        keys.begin("acme", "k", "key-1", b"y")


def test_a_request_in_progress_says_when_to_ask_again(keys: IdempotencyKeys) -> None:
    claim(keys)

    with pytest.raises(InProgress, match="in progress") as conflict:
        keys.begin("acme", "k", "key-1", b"x")
    assert conflict.value.retry_after_s == 1


def test_of_two_at_once_one_carries_it_out(keys: IdempotencyKeys) -> None:
    def begin(_: int) -> bool:
        try:
            return isinstance(keys.begin("acme", "k", "key-1", b"x"), Claim)
        except InProgress:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 1


def test_a_failed_request_may_be_sent_again(keys: IdempotencyKeys) -> None:
    keys.release(claim(keys))

    claim(keys)


def test_keys_of_another_tenant_or_api_key_are_others(keys: IdempotencyKeys) -> None:
    keys.finish(claim(keys), ANSWER)

    claim(keys, tenant="other")
    claim(keys, key_id="narrow")


def test_a_key_is_forgotten_after_a_day_also_one_of_a_dead_process(
    keys: IdempotencyKeys, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    keys.finish(claim(keys), ANSWER)
    claim(keys, key_id="of a process that dies")
    clock.now += timedelta(minutes=11)
    assert keys.begin("acme", "k", "key-1", b"x") == ANSWER

    clock.now += timedelta(days=1, minutes=11)
    claim(keys, key_id="of a process that dies")

    with sessions() as session:
        assert len([*session.scalars(select(IdempotentRequest))]) == 1


def test_what_cannot_be_given_again_is_not_kept(keys: IdempotencyKeys, sessions: sessionmaker[Session]) -> None:
    keys.finish(claim(keys), StoredAnswer(200, "application/json", "x" * 2**20 + "x"))

    with pytest.raises(Conflict, match="its answer is not kept"):
        keys.begin("acme", "k", "key-1", b"x")
    with sessions() as session:
        row = session.scalars(select(IdempotentRequest)).one()
        assert row.answer is None
        assert "key-1" not in row.key_sha256


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(keys: IdempotencyKeys, key: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 255 characters"):
        keys.begin("acme", "k", key, b"x")


def whole(keys: IdempotencyKeys, request_id: str) -> StoredAnswer | Claim:
    """Ask for a request that is one transaction."""
    return keys.begin("acme", "k", "key-1", b"x", request_id=request_id, is_whole=True)


def commit(keys: IdempotencyKeys, claim: Claim | StoredAnswer, sessions: sessionmaker[Session]) -> None:
    """The one transaction, with its audit entry."""
    assert isinstance(claim, Claim)
    who = {"tenant": "acme", "actor": "k", "request_id": claim.request_id}
    with sessions.begin() as session:
        keys.record(claim, session)
        AuditLog(sessions).record(Decision("p", "1", "0" * 64, {}, "t"), who=who, session=session)  # type: ignore[arg-type]


def test_what_a_killed_process_had_not_committed_is_carried_out_anew_once_it_counts_as_ended(
    keys: IdempotencyKeys, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    whole(keys, "1" * 32)
    with pytest.raises(InProgress, match="after 10 minutes it counts as ended"):
        whole(keys, "2" * 32)

    clock.now += ABANDONED + timedelta(seconds=1)
    again = whole(keys, "3" * 32)

    assert again == Claim("acme", again.key_sha256, "3" * 32)  # type: ignore[union-attr]
    with pytest.raises(InProgress):
        whole(keys, "4" * 32)
    commit(keys, again, sessions)
    keys.finish(again, ANSWER)  # type: ignore[arg-type]
    assert whole(keys, "5" * 32) == ANSWER


def test_what_a_killed_process_had_committed_is_not_carried_out_again(
    keys: IdempotencyKeys, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    commit(keys, whole(keys, "1" * 32), sessions)
    clock.now += ABANDONED + timedelta(seconds=1)

    for _ in range(2):
        with pytest.raises(Conflict, match=r"was carried out; its answer is not kept.*take a new key"):
            whole(keys, "2" * 32)


def test_a_process_that_only_slept_finds_that_its_request_is_anothers(
    keys: IdempotencyKeys, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    slept = whole(keys, "1" * 32)
    clock.now += ABANDONED + timedelta(seconds=1)
    taken = whole(keys, "2" * 32)

    with pytest.raises(Conflict, match="another process carries the request out"):
        commit(keys, slept, sessions)
    keys.release(slept)  # type: ignore[arg-type]
    keys.finish(slept, ANSWER)  # type: ignore[arg-type]

    assert AuditLog(sessions).entries("acme") == []
    commit(keys, taken, sessions)
    assert len(AuditLog(sessions).entries("acme")) == 1


def test_of_many_who_take_up_what_a_killed_process_left_one_does(keys: IdempotencyKeys, clock: Clock) -> None:
    whole(keys, "0" * 32)
    clock.now += ABANDONED + timedelta(seconds=1)

    def take_up(number: int) -> bool:
        try:
            return isinstance(whole(keys, f"{number:032x}"), Claim)
        except InProgress:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take_up, range(1, 9))) == 1


def test_what_an_earlier_version_of_the_service_had_begun_is_not_taken_over(
    keys: IdempotencyKeys, clock: Clock
) -> None:
    keys.begin("acme", "k", "key-1", b"x", request_id="1" * 32)  # whose transactions do not note themselves
    clock.now += ABANDONED + timedelta(seconds=1)

    with pytest.raises(Conflict, match="may have been carried out"):
        whole(keys, "2" * 32)


def test_what_a_killed_process_had_begun_is_not_carried_out_again(
    keys: IdempotencyKeys, sessions: sessionmaker[Session], clock: Clock
) -> None:
    keys.begin("acme", "k", "done", b"x", request_id="1" * 32)
    keys.begin("acme", "k", "not done", b"x", request_id="2" * 32)
    who = {"tenant": "acme", "actor": "k", "request_id": "1" * 32}
    AuditLog(sessions).record(Decision("parcels.weigh", "parcel-1", "0" * 64, {}, "tariff-1"), who=who)
    clock.now += ABANDONED + timedelta(seconds=1)
    keys.begin("acme", "k", "another", b"x")  # forgets what is over

    for _ in range(2):
        with pytest.raises(Conflict, match="was carried out; its answer is not kept"):
            keys.begin("acme", "k", "done", b"x", request_id="3" * 32)
        with pytest.raises(Conflict, match=r"may have been carried out.*take a new key"):
            keys.begin("acme", "k", "not done", b"x", request_id="4" * 32)
