"""The queue loses nothing and does nothing twice, whoever dies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from service.webhooks.jobs import MAX_ATTEMPTS, Job, JobQueue, LeaseLost, WebhookJob
from service.webhooks.worker import Worker
from verticals.contract import Unavailable


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
def queue(sessions: sessionmaker[Session], clock: Clock) -> JobQueue:
    return JobQueue(sessions, "in", now=clock)


def done(queue: JobQueue, sessions: sessionmaker[Session], job: Job) -> None:
    with sessions.begin() as session:
        queue.done(job, session=session)


def test_an_event_is_queued_once_also_after_it_is_done(queue: JobQueue, sessions: sessionmaker[Session]) -> None:
    assert queue.put("slack", {"a": 1}, tenant="acme", job_id="e1")
    assert not queue.put("slack", {"a": 1}, tenant="acme", job_id="e1")
    assert queue.put("generic", {"a": 1}, tenant="acme", job_id="e1")

    while job := queue.take():
        done(queue, sessions, job)

    assert not queue.put("slack", {"a": 1}, tenant="acme", job_id="e1")
    with sessions() as session:
        assert {row.payload for row in session.scalars(select(WebhookJob))} == {""}


def test_every_job_is_leased_to_one_worker(queue: JobQueue) -> None:
    for number in range(20):
        queue.put("slack", {}, tenant="acme", job_id=str(number))

    with ThreadPoolExecutor(4) as pool:
        taken = [job.job_id for job in pool.map(lambda _: queue.take(), range(24)) if job]

    assert sorted(taken, key=int) == [str(number) for number in range(20)]


def test_a_job_of_a_dead_worker_is_taken_again(queue: JobQueue, clock: Clock) -> None:
    queue.put("slack", {"a": 1}, tenant="acme", job_id="e1")
    assert queue.take()
    assert queue.take() is None

    clock.now += timedelta(minutes=6)

    job = queue.take()
    assert job is not None
    assert (job.payload, job.attempts) == ({"a": 1}, 2)


def test_who_lost_the_lease_cannot_end_the_job_nor_what_went_with_it(
    queue: JobQueue, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    queue.put("slack", {}, tenant="acme", job_id="e1")
    slow = queue.take()
    clock.now += timedelta(minutes=6)
    quick = queue.take()
    assert slow is not None
    assert quick is not None

    def end_slow(job: Job) -> None:
        with sessions.begin() as session:
            queue.put("slack", {}, tenant="acme", job_id="its answer", session=session)
            queue.done(job, session=session)

    with pytest.raises(LeaseLost, match="took too long"):
        end_slow(slow)
    done(queue, sessions, quick)

    assert queue.take() is None


def test_a_failing_job_is_tried_ever_later_and_then_given_up(
    queue: JobQueue, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    queue.put("slack", {}, tenant="acme", job_id="e1")
    waits = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        job = queue.take()
        assert job is not None
        assert queue.failed(job) == (attempt < MAX_ATTEMPTS)
        with sessions() as session:
            due_at = session.scalars(select(WebhookJob.due_at)).one().replace(tzinfo=UTC)
        waits.append((due_at - clock.now).seconds)
        clock.now = due_at

    assert queue.take() is None
    assert waits == [2, 8, 32, 128, 512, 2048, 3600, 0]


def test_ids_of_ended_jobs_are_forgotten_in_the_end(
    queue: JobQueue, clock: Clock, sessions: sessionmaker[Session]
) -> None:
    for name, days in (("e1", 4), ("e2", 0)):
        queue.put("slack", {}, tenant="acme", job_id=name)
        job = queue.take()
        assert job is not None
        done(queue, sessions, job)
        clock.now += timedelta(days=days)

    assert queue.put("slack", {}, tenant="acme", job_id="e1")


def test_a_worker_survives_whatever_a_job_raises(queue: JobQueue, clock: Clock) -> None:
    seen = []

    def handle(job: Job) -> None:
        seen.append(job.job_id)
        raise {"e1": Unavailable("away"), "e2": RuntimeError("a bug")}[job.job_id]

    for name in ("e1", "e2"):
        queue.put("slack", {}, tenant="acme", job_id=name)
    worker = Worker(queue, handle)

    assert [worker.work_one() for _ in range(3)] == [True, True, False]
    assert seen == ["e1", "e2"]
