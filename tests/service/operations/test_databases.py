"""What the watch asks of a database is the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from service.operations.alarms import AlarmBook
from service.operations.notes import hold, keep_note, read_note
from service.operations.notices import Notices
from service.operations.signals import Signal
from service.settings import Settings
from tests.service.operations.conftest import START, at, make_rule
from tests.verticals.support.test_watching import message, session_row
from verticals import finance, medical, support
from verticals.watched import Period


def test_alarms_leases_and_notices(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, mail_host="127.0.0.1", mail_from="a@b", mail_to="c@d")
    book, notices = AlarmBook(sessions, [make_rule(for_s=0)]), Notices(settings, sessions, send_mail=lambda _: None)

    assert hold(sessions, "one", now=at(0), for_s=60)
    assert not hold(sessions, "two", now=at(1), for_s=60)
    states = [
        [alarm.state for alarm in book.judge([Signal("waiting_requests", "core", value)], at(30 * i))]
        for i, value in enumerate((11, 12, 3))
    ]
    assert states == [["firing"], [], ["resolved"]]
    assert notices.tell(at(120))
    assert not notices.tell(at(121))
    assert notices.worker.work_one()
    with sessions.begin() as session:
        keep_note(session, "routing", {"version": "m"}, now=at(0))
        keep_note(session, "routing", {"version": "m2"}, now=at(1))
    with sessions() as session:
        assert read_note(session, "routing") == {"version": "m2"}


def test_every_vertical_tells_what_came_in(sessions: sessionmaker[Session]) -> None:
    with sessions.begin() as session:
        session.add(session_row("s", START))
        session.add(message(1, START, "customer", intent="return", tone="calm"))
    nothing: Any = None
    resources: Any = SimpleNamespace(sessions=sessions, registry=SimpleNamespace(load=lambda _: nothing))
    period = Period(("shop",), START - timedelta(days=35), START - timedelta(days=7), START + timedelta(hours=1))

    told = {
        one.name: one for v in (finance, medical, support) for one in v.VERTICAL.watch(resources, period).distributions
    }

    assert sum(told["intent"].now) == sum(told["hand-off"].now) == 1
    assert sum(told["image quality"].now) == 0
