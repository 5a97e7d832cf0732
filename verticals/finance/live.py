"""The score's models as they are exchanged while it answers: what they say of an application. Ignores who decides."""

from __future__ import annotations

from collections.abc import Callable

from verticals.contract import ModelRegistry
from verticals.finance.schemas import ScoreRequest
from verticals.live import LiveModel, Said


def _open(registry: ModelRegistry) -> Callable[[ScoreRequest], Said]:
    """What the registry's models say of an application without sources, under the built-in policy."""
    from verticals.finance.scoring import assess, load_models

    models = load_models(registry)

    def say(request: ScoreRequest) -> Said:
        [found] = assess(models, [("", request)])
        return {
            "points": found.points,
            "prob_default": found.prob_default,
            "decision": found.decision,
            "challenger_prob_default": found.challenger_prob_default,
            "moe_prob_default": found.moe_prob_default,
        }

    return say


LIVE_MODELS = tuple(  # the champion, its shadows and the sources' terms
    LiveModel(f"finance.{name}", "score", _open) for name in ("scorecard", "challenger", "moe", "sources")
)
