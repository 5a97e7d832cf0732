"""Trains the fraud model on card transactions in time order: the simulator's, or a bank's own. Ignores storage.

The time is cut in four: a month that only fills the windows, training, the days that choose the threshold, the days
that measure. Before the second and the third cut lie seven days whose frauds nobody knows of
yet, as on the day of training.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from verticals.contract import InvalidInput, Progress
from verticals.finance.fraud.features import DAY_S, DELAY_S, Transactions, all_features
from verticals.finance.fraud.figures import (
    DRAWS,
    FALSE_POSITIVES,
    Metric,
    flagged_share,
    over_terminals,
    threshold_at,
    weighted_auc,
)
from verticals.finance.fraud.files import to_transactions
from verticals.finance.fraud.model import fit_trees, probability, to_files
from verticals.finance.simulator import SYNTHETIC_NOTE
from verticals.finance.simulator.cards import simulate_cards
from verticals.origin import sha256_of_arrays

SEED = 20261101
WARM_UP_S = 30 * DAY_S
TRAINED, CHOSEN = 0.6, 0.8  # of the time after the warm-up
MIN_FRAUDS = 30  # in each part; below, a threshold and a recall would only look like ones


def train_on_simulation(
    progress: Progress, *, num_customers: int = 800, num_terminals: int = 1600, days: int = 150
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """A model of the simulator's cards, so that the product works before a bank brings its own."""
    progress("finance: simulating card transactions", 0.0)
    transactions = to_transactions(simulate_cards(num_customers, num_terminals, days, seed=SEED))
    return train_fraud(transactions, progress, trained_on=SYNTHETIC_NOTE, synthetic=True, command="trivium prepare")


def train_fraud(
    t: Transactions,
    progress: Progress,
    *,
    trained_on: str,
    synthetic: bool,
    false_positives: float = FALSE_POSITIVES,
    draws: int = DRAWS,
    command: str = "trivium finance train-fraud DIR",
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit, choose the threshold, measure on later days.

    Args:
        t: In time order.
        trained_on: For the card.
        synthetic: Whether the transactions are simulated.
        command: That trains, for the card.
        false_positives: Share of the genuine transactions that may exceed the threshold, on the days that choose it.
    Returns:
        (files, card): see `model.to_files`; the card's fields for the registry.
    Raises:
        InvalidInput: too short a time, or too few frauds in one of its parts.
    """
    train, choose, measure = _parts(t)
    progress("finance: describing card transactions", 0.2)
    features = all_features(t)
    progress("finance: fitting the fraud model", 0.5)
    trees = fit_trees(features[train], t.fraud[train])
    score = {part: probability(np.asarray(trees.predict(features[rows], raw_score=True)))
             for part, rows in (("choose", choose), ("measure", measure))}  # fmt: skip
    threshold = threshold_at(t.fraud[choose], score["choose"], false_positives=false_positives)
    progress("finance: measuring the fraud model", 0.8)
    named: dict[str, Metric] = {
        "AUC": weighted_auc,
        "recall": flagged_share(1, threshold),
        "false positives": flagged_share(0, threshold),
    }
    found, drawn = over_terminals(
        list(named.values()), t.fraud[measure].astype(float), [score["measure"]], t.terminal[measure], draws=draws
    )
    low, high = np.percentile(drawn[..., 0], [2.5, 97.5], axis=0)
    facts = {
        "columns": list(features.columns),
        "threshold": threshold,
        "false_positives": false_positives,
        "synthetic": synthetic,
    }
    card = {
        "trained_on": f"{train.sum():,} card transactions with {int(t.fraud[train].sum()):,} frauds. {trained_on}",
        "data": {"card transactions": sha256_of_arrays((t.at_s, t.customer, t.terminal, t.amount_cents, t.fraud))},
        "command": command,
        "licence": "Apache-2.0",
        "recipe": "LightGBM on the published and our velocity features; verticals/finance/fraud/training.py",
        "metrics": {name: [round(float(x), 6) for x in (found[i, 0], low[i], high[i])] for i, name in enumerate(named)},
        "limits": f"Measured on the {measure.sum():,} transactions of the last days, "
        f"{int(t.fraud[measure].sum()):,} of them frauds; the threshold was chosen on earlier ones at "
        f"{false_positives:.1%} false positives. {trained_on}",
    }
    return to_files(trees, facts), card


def _parts(t: Transactions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which transactions train, choose and measure, (T,) each."""
    start, end = int(t.at_s[0]) + WARM_UP_S, int(t.at_s[-1])
    first, second = (start + int(share * (end - start)) for share in (TRAINED, CHOSEN))
    train = (t.at_s >= start) & (t.at_s < first - DELAY_S)
    choose = (t.at_s >= first) & (t.at_s < second - DELAY_S)
    measure = t.at_s >= second
    for name, part in (("train", train), ("choose the threshold", choose), ("measure", measure)):
        frauds = int(t.fraud[part].sum())
        if min(frauds, int(part.sum()) - frauds) < MIN_FRAUDS:
            raise InvalidInput(
                f"needs {MIN_FRAUDS} frauds and as many genuine transactions in the days that {name}",
                field="transactions",
                value=frauds,
                remedy="Give a longer time: 90 days or more, labels included.",
            )
    return train, choose, measure
