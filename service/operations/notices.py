"""Who is told of alarms: a signed webhook and mail, grouped, at most one message in a while. Ignores what alarms mean.

What changed since the last message goes into one message, queued in the same transaction that notes it as told: none
is lost or told twice by a restart. An alarm that came and went between two messages is told once, as resolved. Each
message is tried up to eight times over two hours; it may come twice, with the same id (`webhook-id`, `Message-ID`).
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import httpx
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, sessionmaker

from service.operations.notes import keep_note, read_note
from service.operations.tables import Alarm
from service.setting_rules import is_loopback
from service.settings import Settings
from service.webhooks.events import EventSender
from service.webhooks.jobs import Job, JobQueue
from service.webhooks.worker import Worker
from verticals.contract import Unavailable

QUEUE, WEBHOOK, MAIL = "alarms", "webhook", "mail"
GATHER = timedelta(seconds=30)  # after a first change, for others that belong to it
APART = timedelta(minutes=5)  # between two messages
MAX_NAMED = 20  # alarms in a mail; the others are counted
TIMEOUT_S = 20.0
_NOTE = "notices"


class Notices:
    """Queues what is to be told, and sends it.

    Args:
        settings: Addresses and secrets of the receivers; with none, nothing is queued.
        sessions: Of the database.
        send_mail: Delivers one mail; over SMTP unless given.
        client: For the webhook.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        *,
        send_mail: Callable[[EmailMessage], None] | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        self._settings, self._sessions = settings, sessions
        self._jobs = JobQueue(sessions, QUEUE)
        self._send_mail = send_mail or (lambda mail: send_by_smtp(mail, settings))
        self._client = client or (httpx.Client(trust_env=False) if settings.alarms_url else None)
        self.worker = Worker(self._jobs, self._deliver)

    @property
    def receivers(self) -> list[str]:
        """The channels that are set up."""
        return [WEBHOOK] * bool(self._settings.alarms_url) + [MAIL] * bool(self._settings.mail_host)

    def start(self) -> None:
        """Begin to send, if there is a receiver."""
        if self.receivers:
            self.worker.start()

    def stop(self) -> None:
        """Finish the message at hand."""
        if self.receivers:
            self.worker.stop()
        if self._client:
            self._client.close()

    def tell(self, now: datetime) -> bool:
        """Queue one message of all that changed since the last, unless it is too early for one; whether it did."""
        with self._sessions.begin() as session:
            changed = [*session.scalars(_untold())]
            if not changed or not self._is_time(session, changed, now):
                return False
            message = describe(changed, self._settings, now=now)
            for channel in self.receivers:
                self._jobs.put(channel, message, tenant="", session=session)
            for alarm in changed:
                alarm.told = "resolved" if alarm.state == "resolved" else "opened"
            keep_note(session, _NOTE, {"at": now.isoformat()}, now=now)
        self.worker.wake()
        return True

    def _is_time(self, session: Session, changed: Sequence[Alarm], now: datetime) -> bool:
        last = read_note(session, _NOTE)
        if last and abs(now - datetime.fromisoformat(last["at"])) < APART:  # abs: the wall clock may be set back
            return False
        first = min(
            alarm.resolved_at if alarm.told and alarm.resolved_at else alarm.opened_at or now for alarm in changed
        )
        return abs(now - first) >= GATHER

    def _deliver(self, job: Job) -> None:
        if job.channel == WEBHOOK and self._client:
            secret = self._settings.alarms_secret.get_secret_value()
            EventSender(self._settings.alarms_url, secret=secret, client=self._client).send(job.job_id, job.payload)
        elif job.channel == MAIL and self._settings.mail_host:
            self._send_mail(write_mail(job.payload, self._settings, message_id=job.job_id))
        with self._sessions.begin() as session:
            self._jobs.done(job, session=session)


def describe(alarms: Iterable[Alarm], settings: Settings, *, now: datetime) -> dict[str, Any]:
    """The webhook's event: what opened and what was resolved, the most severe first, each with its link."""
    listed = sorted(alarms, key=lambda alarm: (alarm.severity != "critical", alarm.opened_at or now))
    data = {
        "opened": [describe_one(alarm, settings) for alarm in listed if alarm.state == "firing"],
        "resolved": [describe_one(alarm, settings) for alarm in listed if alarm.state == "resolved"],
    }
    return {"type": "alarms.changed", "timestamp": now.isoformat(), "data": data}


def write_mail(event: Mapping[str, Any], settings: Settings, *, message_id: str) -> EmailMessage:
    """The same as a mail."""
    opened, resolved = event["data"]["opened"], event["data"]["resolved"]
    named = ", ".join(dict.fromkeys(alarm["rule"] for alarm in (*opened, *resolved)))
    mail = EmailMessage()
    mail["Subject"] = f"Trivium: {len(opened)} alarms on, {len(resolved)} resolved ({named[:120]})"
    mail["From"], mail["To"] = settings.mail_from, settings.mail_to
    mail["Message-ID"] = f"<{message_id}@trivium>"
    lines = []
    for title, alarms in (("On", opened), ("Resolved", resolved)):
        for alarm in alarms[:MAX_NAMED]:
            lines += [
                f"{title}: {alarm['rule']} ({alarm['severity']}), {alarm['signal']} of {alarm['subject']}",
                f"  {alarm['value']:.4g} now, {alarm['peak']:.4g} at worst; on at {alarm['on']:.4g}, "
                f"off at {alarm['off']:.4g}",
                *(f"  {action['at'][:16]} {action['done']}" for action in alarm["actions"]),
                f"  {alarm['link']}",
            ]
        if len(alarms) > MAX_NAMED:
            lines.append(f"{title}: and {len(alarms) - MAX_NAMED} more")
    mail.set_content("\n".join(lines) + "\n")
    return mail


def send_by_smtp(mail: EmailMessage, settings: Settings) -> None:
    """Deliver a mail to the server that the settings name, encrypted and its certificate checked.

    Raises:
        Unavailable: it was not taken; try again. The server's words are not repeated.
    """
    try:
        with _connection(settings) as server:
            if settings.mail_user:
                server.login(settings.mail_user, settings.mail_password.get_secret_value())
            server.send_message(mail)
    except (OSError, smtplib.SMTPException) as error:
        raise Unavailable(
            f"the mail server does not take it ({type(error).__name__})", field="TRIVIUM_MAIL_HOST"
        ) from None


@contextmanager
def _connection(settings: Settings) -> Any:
    where: dict[str, Any] = {"host": settings.mail_host, "port": settings.mail_port, "timeout": TIMEOUT_S}
    context = ssl.create_default_context()
    if settings.mail_tls == "tls":
        with smtplib.SMTP_SSL(**where, context=context) as server:
            yield server
        return
    with smtplib.SMTP(**where) as server:
        if not is_loopback(settings.mail_host):
            server.starttls(context=context)
        yield server


def describe_one(alarm: Alarm, settings: Settings) -> dict[str, Any]:
    """An alarm as its receivers are told it, with the address of the page of its evidence."""
    same = ("alarm_id", "rule", "severity", "signal", "subject", "value", "peak", "on", "off", "actions")
    return {
        **{name: getattr(alarm, name) for name in same},
        **times_of(alarm, "opened_at", "resolved_at"),
        "link": f"{settings.dashboard_address}/operations?alarm={alarm.alarm_id}",
    }


def times_of(alarm: Alarm, *names: str) -> dict[str, str | None]:
    """Some of an alarm's times, in text."""
    return {name: at.isoformat() if (at := getattr(alarm, name)) else None for name in names}


def _untold() -> Any:
    """Opened and not told, or resolved and not told as such."""
    opened = (Alarm.state == "firing") & (Alarm.told == "")
    return select(Alarm).where(or_(opened, (Alarm.state == "resolved") & (Alarm.told != "resolved")))
