"""As whom a suite asks the operations, which are this process' or a live API's. Ignores what it asks."""

from __future__ import annotations

from verticals.contract import Context, Decision, Resources


def is_live(resources: Resources) -> bool:
    """Whether the suites' handlers ask a live API: then there is no database of this process."""
    return resources.sessions is None


def evaluator(tenant: str) -> Context:
    """Who asks: `tenant` in this process, where nothing is recorded; of a live API the tenant of its key."""
    return Context(tenant=tenant, actor="evals", request_id="evals", record=_forget)


def _forget(*decisions: Decision, session: object = None) -> None:
    """Evaluation decides nothing about anyone: no audit rows."""
