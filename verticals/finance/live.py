"""Finance's models as they are exchanged while it answers: what they say of a request. Ignores who decides.

Each says it of the request alone: without sources, under the built-in policy; of card transactions and events without
what is stored before them. Two versions are compared on the same reading so, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from verticals.contract import ModelRegistry
from verticals.finance.fraud.card_schemas import CardTransaction, ScoreCardsRequest, check_rows
from verticals.finance.histories.schemas import EventsRequest
from verticals.finance.schemas import ScoreRequest
from verticals.live import LiveModel, Said


def _open(registry: ModelRegistry) -> Callable[[ScoreRequest], Said]:
    """What the registry's models say of an application."""
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


def _open_fraud(registry: ModelRegistry) -> Callable[[ScoreCardsRequest], Said]:
    """What the registry's trees say of card transactions that nothing came before."""
    import pandas as pd

    from verticals.finance.fraud.features import all_features
    from verticals.finance.fraud.files import to_transactions
    from verticals.finance.fraud.model import load_fraud

    model = load_fraud(registry)

    def say(request: ScoreCardsRequest) -> Said:
        checked = check_rows(request.transactions, CardTransaction, now=datetime.now(UTC))
        rows = [one.row() | {"fraud": 0} for _, one in checked.good]
        if model is None or not rows:
            return {"highest": None, "flagged": 0.0}
        table = pd.DataFrame(rows).sort_values("at_s", kind="stable", ignore_index=True)
        scores = model.predict(all_features(to_transactions(table)))
        return {"highest": float(scores.max()), "flagged": float((scores > model.threshold).sum())}

    return say


def _open_sequence(registry: ModelRegistry) -> Callable[[EventsRequest], Said]:
    """What the registry's encoder and head say of a history that has these events alone."""
    from verticals.finance.histories.encoder import read_histories
    from verticals.finance.histories.events import event_table, read_events
    from verticals.finance.histories.model import load_sequence

    model = load_sequence(registry)

    def say(request: EventsRequest) -> Said:
        good, _ = read_events(request.events, now=datetime.now(UTC))
        if model is None or not good:
            return {"log_odds": None}
        table = event_table([event.row(request.customer) for event in good])
        [vector_D] = model.encoder.embed(read_histories(table, [request.customer]))
        return {"log_odds": model.head.logit(vector_D)}

    return say


LIVE_MODELS = (
    *(  # the champion, its shadows and the sources' terms
        LiveModel(f"finance.{name}", "score", _open) for name in ("scorecard", "challenger", "moe", "sources")
    ),
    LiveModel("finance.fraud", "score_cards", _open_fraud),
    LiveModel("finance.sequence", "append_events", _open_sequence),
)
