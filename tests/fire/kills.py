"""Kill -9 of the API at random moments under load on all three verticals: what was acknowledged is there, and once.

    python -m tests.fire.kills [--kills 100] [--minutes 120] [--database postgresql] [--prepared var/fire] [--seed 0]

Each round the server starts; six customers score applications (half of them under idempotency keys), send images and
sign their drafts, and talk to the agent; at a random moment within `--longest-s` of the first request it gets a
SIGKILL. Whoever had no answer and has a key asks again after the restart. At the end the keys that stayed "in progress"
are aged beyond the time for which that is believed, and asked once more. Then tables and audit chains are read.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from benchmarks.setting import machine
from service.audit import AuditLog
from service.audit_tables import AuditEntry
from service.idempotency import IdempotentRequest
from service.storage import make_sessions, open_database
from tests.fire.asking import Customer, Told
from tests.fire.server import Server, options, running
from verticals.finance.tables import FinanceDecision
from verticals.medical.tables import MedicalReportVersion, MedicalStudy
from verticals.support.tables import MessageRow, SessionRow

TENANT = "demo"


async def ask_until_killed(server: Server, http: httpx.AsyncClient, told: Told, after_s: float) -> None:
    """Six customers, and a kill from the side."""

    async def live(kind: int) -> None:
        customer = Customer(http, told)
        with suppress(httpx.TransportError):
            while True:
                if kind < 2:
                    await customer.score(keyed=kind == 1)
                elif kind < 4:
                    await customer.read_study()
                else:
                    await customer.talk()

    async def kill() -> None:
        await asyncio.sleep(after_s)
        await asyncio.to_thread(server.kill)

    await asyncio.gather(kill(), *map(live, range(6)))


async def ask_again(http: httpx.AsyncClient, told: Told) -> None:
    """Whoever has a key and no answer."""
    customer, errors = Customer(http, told), len(told.errors)
    for name in told.keyed.keys() - told.decisions:
        await customer.score_as(name, keyed=True)
    told.errors[errors:] = [
        error for error in told.errors[errors:] if " 409 " not in error
    ]  # "in progress": as it says


def age_keys(server: Server) -> None:
    """As if the time had passed for which a request is believed to be in progress."""
    engine = open_database(server.database_url)
    with Session(engine) as db, db.begin():
        unfinished = IdempotentRequest.status.is_(None)
        past = datetime.now(UTC) - timedelta(seconds=1)
        db.execute(update(IdempotentRequest).where(unfinished).values(expires_at=past))
    engine.dispose()


def look(server: Server, told: Told) -> dict[str, int]:
    """What is missing and what is there twice, from tables and audit."""
    engine = open_database(server.database_url)
    with Session(engine) as db:
        scored = Counter(db.scalars(select(FinanceDecision.application_id).where(FinanceDecision.tenant == TENANT)))
        studies = Counter(db.scalars(select(MedicalStudy.study_id).where(MedicalStudy.tenant == TENANT)))
        signed = Counter(
            db.scalars(select(MedicalReportVersion.report_id).where(MedicalReportVersion.state == "FINAL"))
        )
        sessions = set(db.scalars(select(SessionRow.session_id).where(SessionRow.tenant == TENANT)))
        rows = db.execute(select(MessageRow.session_id, MessageRow.role, MessageRow.content)).all()
        kinds = {"finance.score": scored, "medical.sign": signed}
        audited = {
            kind: Counter(
                db.scalars(select(AuditEntry.subject).where(AuditEntry.tenant == TENANT, AuditEntry.kind == kind))
            )
            for kind in kinds
        }
    check = AuditLog(make_sessions(engine)).verify(TENANT)
    engine.dispose()
    said = Counter(text for _, role, text in rows if role == "customer")
    answers = Counter(session for session, role, _ in rows if role == "assistant")
    return {
        "decisions lost": len(told.decisions - scored.keys()) + len(told.decisions - audited["finance.score"].keys()),
        "decisions doubled": sum(scored[name] - 1 for name in told.keyed if scored[name] > 1),
        "decisions without an audit entry, or the other way round": sum(
            abs(scored[name] - audited["finance.score"][name]) for name in scored if len(name) == 32
        ),
        "studies lost": len(told.studies - studies.keys()),
        "signatures lost": len(told.signed - signed.keys()),
        "signatures doubled": sum(times - 1 for times in (*signed.values(), *audited["medical.sign"].values())),
        "messages lost": sum(text not in said for text in told.messages) + len(set(told.messages.values()) - sessions),
        "messages doubled": sum(times - 1 for text, times in said.items() if text in told.messages),
        "answers lost": len(told.answered - answers.keys()),
        "answers doubled": sum(answers[session] - 1 for session in told.answered if answers[session] > 1),
        "audit chain broken": int(check.broken_at is not None),
    }


def main() -> None:
    """Kill, ask again, count; exit 1 if anything was lost or doubled."""
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=120, help="begin no round after so long")
    parser.add_argument("--longest-s", type=float, default=4)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw, told, killed, started = random.Random(asked.seed), Told(), [0], time.monotonic()
    with running(asked.prepared, asked.database) as server:
        key = server.issue_key(TENANT)

        async def rounds() -> None:
            for number in range(asked.kills):
                if time.monotonic() - started > asked.minutes * 60:
                    break
                killed[0] += 1
                async with server.client(httpx.AsyncClient, key, timeout_s=60, connections=32) as http:
                    await ask_again(http, told)
                    await ask_until_killed(server, http, told, draw.uniform(0, asked.longest_s))
                await asyncio.to_thread(server.start)
                if (number + 1) % 5 == 0:
                    passed = time.monotonic() - started
                    print(f"{number + 1} kills in {passed:.0f} s, {told.count()} acknowledged", flush=True)
            unfinished = len(told.keyed.keys() - told.decisions)
            age_keys(server)
            async with server.client(httpx.AsyncClient, key, timeout_s=60) as http:
                await ask_again(http, told)
            print(f"{unfinished} keys without an answer, {len(told.keyed.keys() - told.decisions)} after asking again")

        asyncio.run(rounds())
        found = look(server, told)
    print(f"# {machine()}, {asked.database}")
    print(
        f"{killed[0]} kills; acknowledged: {len(told.decisions)} decisions ({len(told.keyed)} keyed), "
        f"{len(told.studies)} studies, {len(told.signed)} signatures, {len(told.messages)} messages, "
        f"{len(told.answered)} answers"
    )
    print(", ".join(f"{what} {count}" for what, count in found.items()))
    for error, times in Counter(told.errors).most_common(10):
        print(f"error x{times}: {error}")
    sys.exit(1 if any(found.values()) or told.errors else 0)


if __name__ == "__main__":
    main()
