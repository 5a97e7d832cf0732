"""Events for other systems, from the decisions of the audit trail: ids and outcomes, no words. Ignores other tenants.

An event is queued in the decision's own transaction, so there is none without the other, and sent later, signed as
Standard Webhooks. It may come twice: `webhook-id` stays the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy.orm import Session, sessionmaker

from service.audit import OnAppend
from service.settings import Settings
from service.webhooks.channels import post
from service.webhooks.jobs import JobQueue
from service.webhooks.signatures import sign_standard
from verticals.contract import Decision

EVENTS = "events"  # the queue's name for this receiver
TYPES = {"support.ticket": "ticket.created", "support.answer": "answer.created", "support.handoff": "handoff.changed"}


def event_outbox(settings: Settings, sessions: sessionmaker[Session]) -> OnAppend:
    """What queues the events of new decisions, in their transaction; nothing where no address is set."""
    outgoing = JobQueue(sessions, "out")

    def queue(session: Session, tenant: str, decisions: Sequence[Decision]) -> None:
        if settings.events_url and tenant == settings.channel_tenant:
            for event in _events(decisions):
                outgoing.put(EVENTS, event, tenant=tenant, session=session)

    return queue


def _events(decisions: Sequence[Decision]) -> Iterator[dict[str, Any]]:
    for decision in decisions:
        if decision.kind in TYPES:
            data = {"id": decision.subject, **decision.outcome}
            yield {"type": TYPES[decision.kind], "timestamp": datetime.now(UTC).isoformat(), "data": data}


class EventSender:
    """Sends events to the one address that the settings name."""

    def __init__(self, url: str, *, secret: str, client: httpx.Client, now: Callable[[], float] = time.time) -> None:
        self._url, self._secret, self._client, self._now = url, secret, client, now

    def send(self, message_id: str, event: Mapping[str, Any]) -> None:
        """Deliver one event.

        Raises:
            Unavailable: it was not taken; try again.
        """
        body = json.dumps(event, separators=(",", ":")).encode()
        headers = sign_standard(self._secret, message_id=message_id, body=body, now=self._now())
        post(self._client, self._url, content=body, headers={"content-type": "application/json", **headers})
