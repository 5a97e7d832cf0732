"""Processor time and memory of what the finance pages ask for, over many stored decisions.

    python -m benchmarks.finance_pages [--rows 100000]      # a minute of processor time

The rows are scored as a file, spread over the last year, and each gets a case; a quarter have an
outcome, on one row in twenty a person decided otherwise. Each operation is asked once to warm it and three times to
measure it, without HTTP; memory is what the process grew by. Ignores what the answers say.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from benchmarks.batch import MadeFile, csv_pieces
from benchmarks.finance_setting import TENANT, Finance, open_finance
from verticals.contract import OpenFile
from verticals.finance import VERTICAL, schemas
from verticals.finance.fraud.tables import FinanceCase
from verticals.finance.manual.tables import FinanceOverride
from verticals.finance.portfolio.tables import FinanceOutcome
from verticals.finance.tables import FinanceDecision

YEAR = timedelta(days=364)
OTHERWISE = {"approve": ("decline", "high_side"), "refer": ("approve", "referral"), "decline": ("approve", "low_side")}


def asked(rows: int) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """What the pages ask: name -> operation and request."""
    deep = {"limit": 50, "offset": rows - 100}
    return {
        "decisions, first page": ("decisions", {"limit": 50}),
        "decisions, last page": ("decisions", deep),
        "one application's record": ("application_record", {"application_id": "a-500"}),
        "manual decisions that wait": ("proposed_overrides", {}),
        "cases, first page": ("cases", {"limit": 50}),
        "cases, last page": ("cases", deep | {"offset": rows // 2 - 100}),
        "portfolio of the year": ("portfolio", {}),
        "validation": ("validation", {}),
        "distribution": ("distribution", {}),
        "simulation of a policy": ("simulate", {"approve_at": 540, "decline_below": 480}),
        "model card": ("model", {}),
    }


def fill(finance: Finance, rows: int) -> None:
    """Store `rows` decisions and what came after them."""
    file: Any = OpenFile.over(MadeFile(csv_pieces(rows, bad_every=rows + 1)), filename="made")  # type: ignore[arg-type]
    answer: Any = finance.handlers["score_batch"](schemas.BatchRequest(file=file), finance.context)
    for _ in answer.chunks:
        pass
    with finance.sessions.begin() as session:
        _spread(session, datetime.now(UTC))


def _spread(session: Session, now: datetime) -> None:
    d = FinanceDecision
    made = session.execute(select(d.id, d.application_id, d.decision).order_by(d.id)).all()
    days = [now - YEAR * (1 - i / len(made)) for i in range(len(made))]
    moved = update(d.__table__).where(d.__table__.c.id == bindparam("of")).values(created_at=bindparam("at"))  # type: ignore[arg-type]
    session.connection().execute(moved, [{"of": row.id, "at": at} for row, at in zip(made, days, strict=True)])
    cases, outcomes, overrides = [], [], []
    for i, (row, at) in enumerate(zip(made, days, strict=True)):
        mine = {"tenant": TENANT, "application_id": row.application_id}
        subject = {"tenant": TENANT, "subject_kind": "application", "subject": row.application_id}
        state = {"score": i % 997 / 997, "signals": [], "state": ("open", "genuine")[i % 2], "opened_at": at}
        cases.append(subject | state | {"case_id": f"case-{i}", "source": "bench"})
        if i % 4 == 0:
            seen = {"observed_on": (at + (now - at) / 2).date(), "defaulted": i % 32 == 0, "created_at": now}
            outcomes.append(mine | seen | {"actor": "bench"})
        if i % 20 == 0:
            otherwise, direction = OTHERWISE[row.decision]
            told = {"decision": otherwise, "direction": direction, "automatic": row.decision, "reason": "M01"}
            who = {"decided_by": "bench", "decided_at": now, "text": "made", "override_id": f"override-{i}"}
            state = {"state": ("in_force", "proposed")[i // 20 % 2], "scoring_id": row.id}
            overrides.append(mine | told | who | state)
    session.execute(insert(FinanceCase), cases)
    session.execute(insert(FinanceOutcome), outcomes)
    session.execute(insert(FinanceOverride), overrides)


def measure(finance: Finance, name: str, body: Mapping[str, Any]) -> tuple[float, float, float]:
    """(processor seconds, wall seconds, MiB that the process grew by): medians of three, and their sum."""
    request = next(o.request for o in VERTICAL.operations if o.name == name).model_validate(body)
    finance.handlers[name](request, finance.context)
    before, times = _peak_mib(), []
    for _ in range(3):
        started, cpu = time.perf_counter(), time.process_time()
        finance.handlers[name](request, finance.context)
        times.append((time.process_time() - cpu, time.perf_counter() - started))
    return *sorted(times)[1], _peak_mib() - before


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as home, open_finance(Path(home)) as finance:
        fill(finance, rows)
        print(f"{rows:,} decisions and cases, SQLite.\n")
        print("| page | processor, ms | wall, ms | memory, MiB |\n|---|---|---|---|")
        for page, (name, body) in asked(rows).items():
            cpu_s, wall_s, mib = measure(finance, name, body)
            print(f"| {page} | {1000 * cpu_s:.0f} | {1000 * wall_s:.0f} | {mib:.0f} |", flush=True)


if __name__ == "__main__":
    main()
