"""A durable queue in SQL: work that was acknowledged and must be done, whoever dies meanwhile. Ignores what work.

A job is leased to one worker at a time; a lease that runs out is taken by the next. Ended jobs keep their id for a
while, so that the same event is not worked on twice, and lose their content at once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Index, String, Text, Update, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, sessionmaker

from service.storage import Base
from verticals.contract import Conflict

LEASE = timedelta(minutes=5)
REMEMBERED = timedelta(days=3)  # ids of ended jobs; senders give up sooner
MAX_ATTEMPTS = 8
FIRST_DELAY_S, MAX_DELAY_S = 2, 3600


class LeaseLost(Conflict):
    """A job's lease ran out while it was worked on."""


class WebhookJob(Base):
    """One job. `job_id` is the sender's event id in queue `in`, ours in queue `out`."""

    __tablename__ = "webhook_jobs"
    __table_args__ = (Index("ix_webhook_jobs_due", "queue", "status", "due_at"),)

    queue: Mapped[str] = mapped_column(String(8), primary_key=True)
    channel: Mapped[str] = mapped_column(String(32), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)  # JSON; empty once ended
    status: Mapped[str] = mapped_column(String(8))  # waiting, done, dead
    attempts: Mapped[int]
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))  # while leased: when the lease ends


@dataclass(frozen=True)
class Job:
    """A leased job."""

    queue: str
    channel: str
    job_id: str
    tenant: str
    payload: Mapping[str, Any]
    attempts: int


class JobQueue:
    """Jobs of one direction: `in` or `out`."""

    def __init__(
        self, sessions: sessionmaker[Session], name: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._sessions, self._name, self._now = sessions, name, now

    def put(
        self,
        channel: str,
        payload: Mapping[str, Any],
        *,
        tenant: str,
        job_id: str | None = None,
        session: Session | None = None,
    ) -> bool:
        """Queue a job, in the transaction of `session` if given; False if one of this id was queued before."""
        row = WebhookJob(
            queue=self._name,
            channel=channel,
            job_id=job_id or uuid.uuid4().hex,
            tenant=tenant,
            payload=json.dumps(payload),
            status="waiting",
            attempts=0,
            due_at=self._now(),
        )
        if session is not None:
            session.add(row)
            return True
        try:
            with self._sessions.begin() as own:
                own.add(row)
        except IntegrityError:
            return False
        return True

    def take(self) -> Job | None:
        """Lease the job that has been due longest; None if there is none."""
        now = self._now()
        due = (
            select(WebhookJob)
            .where(WebhookJob.queue == self._name, WebhookJob.status == "waiting", WebhookJob.due_at <= now)
            .order_by(WebhookJob.due_at)
            .limit(1)
        )
        while True:
            with self._sessions.begin() as session:
                row = session.scalar(due)
                if row is None:
                    return None
                payload = json.loads(row.payload)
                job = Job(self._name, row.channel, row.job_id, row.tenant, payload, attempts=row.attempts)
                taken = session.execute(_mine(job).values(attempts=job.attempts + 1, due_at=now + LEASE))
            if taken.rowcount:  # type: ignore[attr-defined]
                return replace(job, attempts=job.attempts + 1)  # else another worker was quicker

    def done(self, job: Job, *, session: Session) -> None:
        """End a job, in the transaction of what it did.

        Raises:
            LeaseLost: it took too long, and is another worker's now: undo what it did.
        """
        if not self._end(job, "done", session):
            raise LeaseLost("the job took too long, and is another worker's now", field="job_id", value=job.job_id)

    def failed(self, job: Job) -> bool:
        """Try the job again later; False if it was tried often enough, and is given up."""
        with self._sessions.begin() as session:
            if job.attempts >= MAX_ATTEMPTS:
                self._end(job, "dead", session)
                return False
            delay_s = min(FIRST_DELAY_S * 4 ** (job.attempts - 1), MAX_DELAY_S)
            session.execute(_mine(job).values(due_at=self._now() + timedelta(seconds=delay_s)))
            return True

    def _end(self, job: Job, status: str, session: Session) -> bool:
        ended = session.execute(_mine(job).values(status=status, payload="", due_at=self._now()))
        old = self._now() - REMEMBERED
        session.execute(delete(WebhookJob).where(WebhookJob.status != "waiting", WebhookJob.due_at < old))
        return bool(ended.rowcount)  # type: ignore[attr-defined]


def _mine(job: Job) -> Update:
    """An update of the job, as long as nobody else has taken it since."""
    key = (WebhookJob.queue == job.queue, WebhookJob.channel == job.channel, WebhookJob.job_id == job.job_id)
    unchanged = (WebhookJob.attempts == job.attempts, WebhookJob.status == "waiting")
    return update(WebhookJob).where(*key, *unchanged).execution_options(synchronize_session=False)
