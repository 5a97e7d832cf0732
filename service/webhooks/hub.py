"""The channels that the settings name, their queue and their workers. Ignores HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict

import httpx
from pydantic import ValidationError

from service.auth import Caller
from service.kit import Kit
from service.settings import Settings
from service.webhooks.channels import Channel, Immediate, Inbound, Reply
from service.webhooks.chatwoot import ChatwootChannel
from service.webhooks.events import EVENTS, EventSender
from service.webhooks.generic import GenericChannel
from service.webhooks.jobs import Job, JobQueue
from service.webhooks.slack import SlackChannel
from service.webhooks.talks import SCOPES, Talks
from service.webhooks.worker import Worker
from verticals.contract import InvalidInput, NotFound

IN, OUT = "in", "out"


class WebhookHub:
    """Takes what platforms send, answers in the background.

    Args:
        kit: Answers, and holds the queue's database.
        client: For outbound calls; one of its own if None and there is any channel.
    """

    def __init__(self, kit: Kit, client: httpx.Client | None = None) -> None:
        self._kit, self._talks, self._tenant = kit, Talks(kit), kit.settings.channel_tenant
        self._client = client or (httpx.Client() if kit.settings.has_channels else None)
        self._events = _event_sender(kit.settings, self._client) if self._client else None
        self._channels = _channels(kit.settings, self._client, self._events) if self._client else {}
        self._incoming, self._outgoing = JobQueue(kit.sessions, IN), JobQueue(kit.sessions, OUT)
        self.workers = (Worker(self._incoming, self._answer), Worker(self._outgoing, self._deliver))

    def start(self) -> None:
        """Begin to work, if there is any channel."""
        if self._client:
            for worker in self.workers:
                worker.start()

    def stop(self) -> None:
        """Finish the jobs at hand."""
        if self._client:
            for worker in self.workers:
                worker.stop()
            self._client.close()

    def receive(self, channel: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Prove a request and queue its message; gives what to answer at once.

        Raises:
            NotFound: no such channel is set up.
            BadSignature, InvalidInput: see `Channel.receive`.
        """
        if channel not in self._channels:
            raise NotFound("no such channel is set up", field="channel", remedy="docs/api.md lists the settings.")
        found = self._channels[channel].receive(headers, body, now=time.time())
        if isinstance(found, Immediate):
            return found.body
        is_new = self._incoming.put(channel, asdict(found), tenant=self._tenant, job_id=found.event_id)
        self.workers[0].wake()
        return {"status": "queued" if is_new else "duplicate"}

    def _answer(self, job: Job) -> None:
        """Ask the agent; the answer is queued where the message ends."""
        message = Inbound(**job.payload)
        caller = Caller(tenant=job.tenant, key_id=f"channel:{job.channel}", scopes=SCOPES)
        request_id = f"{job.channel}-{job.job_id}"
        talk = self._talks.open(job.channel, message.conversation, caller=caller, request_id=request_id)
        try:
            answered = talk.answer(message.text, is_retry=job.attempts > 1)
        except (InvalidInput, ValidationError):  # nothing that could be answered, however often it is tried
            with self._kit.sessions.begin() as session:
                self._incoming.done(job, session=session)
            return
        reply = {"address": dict(message.address), "text": answered.text, "hand_over": answered.hand_over}
        with self._kit.sessions.begin() as session:
            self._incoming.done(job, session=session)
            if answered.text:  # while a person has the session, the agent is silent
                self._outgoing.put(job.channel, reply, tenant=job.tenant, session=session)
        self.workers[1].wake()

    def _deliver(self, job: Job) -> None:
        if job.channel == EVENTS and self._events:
            self._events.send(job.job_id, job.payload)
        elif job.channel in self._channels:
            self._channels[job.channel].send(Reply(reply_id=job.job_id, **job.payload))
        with self._kit.sessions.begin() as session:  # also where the channel is no longer set up
            self._outgoing.done(job, session=session)


def _event_sender(settings: Settings, client: httpx.Client) -> EventSender | None:
    if not settings.events_url:
        return None
    return EventSender(settings.events_url, secret=settings.events_secret.get_secret_value(), client=client)


def _channels(settings: Settings, client: httpx.Client, events: EventSender | None) -> dict[str, Channel]:
    found: dict[str, Channel] = {}
    if events and (secret := settings.webhook_secret.get_secret_value()):
        found["generic"] = GenericChannel(secret=secret, events=events)
    if secret := settings.slack_signing_secret.get_secret_value():
        token = settings.slack_bot_token.get_secret_value()
        found["slack"] = SlackChannel(
            signing_secret=secret, bot_token=token, api_url=settings.slack_api_url, client=client
        )
    if secret := settings.chatwoot_secret.get_secret_value():
        token = settings.chatwoot_token.get_secret_value()
        found["chatwoot"] = ChatwootChannel(secret=secret, token=token, url=settings.chatwoot_url, client=client)
    return found
