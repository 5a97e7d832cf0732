"""Customer support for a shop: answers with cited facts, changes orders with approval, opens tickets, hands over.

Imports schemas only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verticals.contract import ContextOf, Handler, Progress, Resources, Suite, Vertical
from verticals.replaying import Kept, Replayed
from verticals.support.live import LIVE_MODELS
from verticals.support.operations import OPERATIONS
from verticals.watched import Period, Watch


def _build(resources: Resources) -> Mapping[str, Handler]:
    from verticals.support.handlers import build

    return build(resources)


def _evals(resources: Resources, handlers: Mapping[str, Handler]) -> Sequence[Suite]:
    from verticals.support.evals import evals

    return evals(resources, handlers)


def _replay(kept: Kept, entry: Mapping[str, Any], given: Mapping[str, Any] | None) -> Replayed:
    from verticals.support.replay import replay_entry

    return replay_entry(kept, entry, given)


def _demo(resources: Resources, progress: Progress) -> None:
    from verticals.support.demo import demo

    demo(resources, progress)


def _watch(resources: Resources, period: Period) -> Watch:
    from verticals.support.watching import watch

    return watch(resources, period)


def _recover(resources: Resources, context_of: ContextOf) -> int:
    from verticals.support.recovery import recover

    return recover(resources, context_of)


VERTICAL = Vertical(
    name="support",
    title="Customer support",
    summary="Answers customers with cited facts, says so when it does not know, looks up and changes orders with a "
    "person's approval, opens tickets, and hands over to people.",
    operations=OPERATIONS,
    build=_build,
    evals=_evals,
    demo=_demo,
    recover=_recover,
    replay=_replay,
    models=LIVE_MODELS,
    subjects=("session_id", "conversation_id"),
    watch=_watch,
)
