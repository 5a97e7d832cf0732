"""Receivers get one signed message of all that changed, not a storm; none is lost or told twice by a restart."""

from __future__ import annotations

import json
import smtplib
import socket
import threading
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from service.operations.alarms import AlarmBook
from service.operations.notices import MAIL, WEBHOOK, Notices, send_by_smtp, write_mail
from service.operations.signals import Signal
from service.settings import Settings
from service.webhooks.jobs import WebhookJob
from service.webhooks.signatures import verify_standard
from tests.service.operations.conftest import at, make_rule
from verticals.contract import Unavailable

SECRET = "whsec_" + "c2VjcmV0" * 5
Sessions = sessionmaker[Session]


class Receiver:
    """A webhook's receiver and a mailbox; both can be made to fail."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.mails: list[EmailMessage] = []
        self.is_down = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(503 if self.is_down else 204)

    def take(self, mail: EmailMessage) -> None:
        if self.is_down:
            raise Unavailable("the mail server does not take it")
        self.mails.append(mail)

    @property
    def events(self) -> list[Any]:
        return [json.loads(request.content)["data"] for request in self.requests]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    mail = {"mail_host": "mail.test", "mail_from": "trivium@bank.test", "mail_to": "ops@bank.test, night@bank.test"}
    return Settings(home=tmp_path, alarms_url="https://ops.test/hook", alarms_secret=SECRET, **mail)  # type: ignore[arg-type]


def notices(settings: Settings, operations: Sessions, receiver: Receiver) -> Notices:
    client = httpx.Client(transport=httpx.MockTransport(receiver.answer))
    return Notices(settings, operations, send_mail=receiver.take, client=client)


def judge(operations: Sessions, values: dict[str, float], seconds: float) -> None:
    book = AlarmBook(operations, [make_rule(name="errors", signal="error_share", for_s=0)])
    book.judge([Signal("error_share", subject, value) for subject, value in values.items()], at(seconds))


def deliver(told: Notices) -> None:
    while told.worker.work_one():
        pass


def test_what_changes_within_half_a_minute_is_one_message(
    settings: Settings, operations: Sessions, receiver: Receiver
) -> None:
    told = notices(settings, operations, receiver)
    judge(operations, {"finance": 11}, 0)
    assert not told.tell(at(10))  # others may belong to it
    judge(operations, {"medical": 12}, 20)

    assert told.tell(at(30))
    deliver(told)

    (event,) = receiver.events
    assert [alarm["subject"] for alarm in event["opened"]] == ["finance", "medical"]
    assert event["opened"][0]["link"] == f"http://127.0.0.1:8501/operations?alarm={event['opened'][0]['alarm_id']}"
    assert len(receiver.mails) == 1
    assert not told.tell(at(1000))


def test_a_wall_clock_that_is_set_back_holds_no_message_up(
    settings: Settings, operations: Sessions, receiver: Receiver
) -> None:
    told = notices(settings, operations, receiver)
    judge(operations, {"finance": 11}, 86_400)
    assert told.tell(at(86_430))

    judge(operations, {"medical": 12}, 86_440)

    assert told.tell(at(0))


def test_a_signal_that_flaps_is_no_storm_and_its_end_is_told(
    settings: Settings, operations: Sessions, receiver: Receiver
) -> None:
    told = notices(settings, operations, receiver)
    for i in range(24):  # twelve minutes of on and off, every half minute
        judge(operations, {"finance": 11 if i % 2 == 0 else 1}, 30 * i)
        told.tell(at(30 * i))
    told.tell(at(3600))
    deliver(told)

    assert len(receiver.events) <= 4  # one in five minutes, and the last
    assert sum(len(event["resolved"]) for event in receiver.events) == 12
    assert receiver.events[-1]["opened"] == []


def test_the_message_is_signed(settings: Settings, operations: Sessions, receiver: Receiver) -> None:
    told = notices(settings, operations, receiver)
    judge(operations, {"finance": 11}, 0)
    told.tell(at(30))
    deliver(told)

    (request,) = receiver.requests
    now = int(request.headers["webhook-timestamp"])
    assert verify_standard(SECRET, headers=request.headers, body=request.content, now=now)


def test_a_receiver_that_is_down_gets_the_same_message_later(
    settings: Settings, operations: Sessions, receiver: Receiver
) -> None:
    told = notices(settings, operations, receiver)
    judge(operations, {"finance": 11}, 0)
    told.tell(at(30))
    receiver.is_down = True
    deliver(told)

    receiver.is_down = False
    with operations.begin() as session:
        session.execute(update(WebhookJob).values(due_at=at(0)))
    deliver(notices(settings, operations, receiver))  # after a restart

    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert len(receiver.mails) == 1
    assert not told.tell(at(3600))


def test_without_a_receiver_nothing_is_queued(tmp_path: Path, operations: Sessions) -> None:
    told = Notices(Settings(home=tmp_path), operations)
    judge(operations, {"finance": 11}, 0)
    told.tell(at(30))

    with operations() as session:
        assert session.query(WebhookJob).count() == 0


def test_the_channels_are_those_that_are_set_up(settings: Settings, operations: Sessions, receiver: Receiver) -> None:
    assert notices(settings, operations, receiver).receivers == [WEBHOOK, MAIL]


def test_a_mail_says_what_is_on_with_its_link(settings: Settings) -> None:
    alarm = {
        **{"alarm_id": "a", "rule": "errors", "severity": "critical", "signal": "error_share", "subject": "finance"},
        **{"value": 0.2, "peak": 0.25, "on": 0.05, "off": 0.01, "link": "http://d/operations?alarm=a"},
        "actions": [{"at": "2026-11-30T12:00:00+00:00", "done": "bias rebalancing is on"}],
    }
    event = {"data": {"opened": [alarm] * 25, "resolved": []}}

    mail = write_mail(event, settings, message_id="m1")

    assert mail["Subject"] == "Trivium: 25 alarms on, 0 resolved (errors)"
    assert (mail["To"], mail["Message-ID"]) == ("ops@bank.test, night@bank.test", "<m1@trivium>")
    body = mail.get_content()
    assert "0.2 now, 0.25 at worst; on at 0.05, off at 0.01" in body
    assert "bias rebalancing is on" in body
    assert (body.count("http://d/operations?alarm=a"), "On: and 5 more" in body) == (20, True)


class SmtpServer(threading.Thread):
    """Speaks just enough SMTP to show that nothing is said before encryption."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.said: list[str] = []

    def run(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rw", newline="\r\n") as lines:
            self._answer(lines, "220 hello")
            for line in lines:
                self.said.append(line.strip())
                word = line.split()[0].upper()
                if word == "DATA":
                    self._answer(lines, "354 go on")
                    for part in lines:
                        if part.strip() == ".":
                            break
                        self.said.append(part.strip())
                self._answer(lines, "221 bye" if word == "QUIT" else "250 fine")
                if word == "QUIT":
                    return

    def _answer(self, lines: Any, text: str) -> None:
        lines.write(f"{text}\n")
        lines.flush()


def test_a_mail_reaches_a_server_on_this_machine(tmp_path: Path) -> None:
    server = SmtpServer()
    server.start()
    settings = Settings(home=tmp_path, mail_host="127.0.0.1", mail_port=server.port, mail_from="a@b.c", mail_to="d@e.f")

    send_by_smtp(write_mail({"data": {"opened": [], "resolved": []}}, settings, message_id="m1"), settings)

    server.join(5)
    assert any(line.startswith("rcpt TO:<d@e.f>") for line in server.said)
    assert "Message-ID: <m1@trivium>" in server.said


def test_a_server_elsewhere_that_cannot_encrypt_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = SmtpServer()
    server.start()
    own = smtplib.SMTP.connect
    monkeypatch.setattr(smtplib.SMTP, "connect", lambda self, _host, port, **_: own(self, "127.0.0.1", port))
    settings = Settings(
        home=tmp_path, mail_host="mail.bank.test", mail_port=server.port, mail_from="a@b", mail_to="c@d"
    )

    with pytest.raises(Unavailable, match=r"the mail server does not take it \(SMTPNotSupportedError\)"):
        send_by_smtp(write_mail({"data": {"opened": [], "resolved": []}}, settings, message_id="m1"), settings)

    assert not any(line.lower().startswith(("mail", "auth")) for line in server.said)
