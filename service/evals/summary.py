"""A run in a few lines of Markdown, and the signed webhook that carries them. Ignores how figures came about.

Signed as Standard Webhooks, as other events are (docs/api.md): `{"type": "evaluation.finished", "timestamp", "data":
{"run_id", "exit_code", "summary", "text"}}`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import httpx

from service.evals.compare import ALARMING
from service.evals.numbers import format_change, format_number, format_seconds
from service.evals.report_schema import Report
from service.settings import Settings
from service.webhooks.events import EventSender
from verticals.contract import Unavailable

DELAYS_S = (0.0, 2.0, 10.0, 60.0)  # before each try
MAX_LINES = 20  # of each kind


def markdown(report: Report) -> str:
    """Headline, regressions and losses first, then what got better and a line for each domain."""
    run, counts = report.run, report.summary
    head = "no regressions" if not counts.alarms else f"{counts.alarms} to look at"
    if not counts.ok:
        head = "nothing was measured"
    lines = [f"**Trivium evaluation {run.started_at:%Y-%m-%d}: {head}** (exit code {run.exit_code})", ""]
    for found in (list(_worse(report)), list(_better(report))):
        lines += [f"- {_plain(line)}" for line in found[:MAX_LINES]]
        if len(found) > MAX_LINES:
            lines.append(f"- and {len(found) - MAX_LINES} more")
    for domain in report.domains:
        states = [suite.status for suite in domain.suites]
        named = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        lines.append(f"- {_plain(domain.name)}: {named}")
    lines += ["", f"run {run.run_id}, {format_seconds(run.duration_s)}, code {run.git_version or 'unknown'}"]
    return "\n".join(lines)


def send_summary(
    report: Report, settings: Settings, *, client: httpx.Client, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Send the summary where the settings say; why that failed after four tries, or None.

    The run id is the message's id, so a receiver that got it twice can tell.
    """
    secret = settings.eval_webhook_secret.get_secret_value()
    sender = EventSender(settings.eval_webhook_url, secret=secret, client=client)
    run = report.run
    data = {
        "run_id": run.run_id,
        "exit_code": run.exit_code,
        "summary": report.summary.model_dump(),
        "text": markdown(report),
    }
    event = {"type": "evaluation.finished", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    reason = None
    for delay_s in DELAYS_S:
        sleep(delay_s)
        try:
            sender.send(run.run_id, event)
        except Unavailable as error:
            reason = str(error)
        else:
            return None
    return reason


def _worse(report: Report) -> Iterator[str]:
    for domain in report.domains:
        for suite in domain.suites:
            for metric in suite.metrics:
                for each in metric.against:
                    if each.verdict == "regressed" and each.reference in ALARMING:
                        change = format_change(metric.value - each.value)
                        where = f"{domain.name}/{suite.name} {metric.name}"
                        yield f"worse: {where} {format_number(metric.value)} ({change} since {each.reference})"
            for loss in suite.losses:
                yield f"{domain.name}/{suite.name} {loss}"
    for gone in report.gone:
        yield f"{gone.domain}/{gone.suite} is gone"


def _better(report: Report) -> Iterator[str]:
    for domain in report.domains:
        for suite in domain.suites:
            for metric in suite.metrics:
                if metric.verdict == "improved":
                    yield f"better: {domain.name}/{suite.name} {metric.name} {format_number(metric.value)}"


def _plain(text: str) -> str:
    """One line without the characters that Markdown and chat platforms would read."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#|~@" else char for char in " ".join(text.split()))
