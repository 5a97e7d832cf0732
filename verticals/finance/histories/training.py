"""Trains the sequence model on simulated banks. SYNTHETIC: a bank trains on its own histories with the same functions.

Three banks, so that nothing is measured on what was learned from: one for pre-training, whose outcomes are not read,
one for the head, one held out for the card's figures.
"""

from __future__ import annotations

from typing import Any

from verticals.contract import Progress
from verticals.finance.histories.aggregates import aggregate_logits, out_of_fold_logits
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder, read_histories
from verticals.finance.histories.head import Tuning, fit_head
from verticals.finance.histories.model import to_files
from verticals.finance.histories.pretrain import Contrast, pretrain
from verticals.finance.histories.view_frame import features_of
from verticals.finance.simulator import SYNTHETIC_NOTE
from verticals.finance.simulator.bank import simulate
from verticals.finance.validate import auc_difference

SEED = 20261101
TUNING = Tuning()


def train_sequence(
    progress: Progress, *, num_customers: int = 1500, contrast: Contrast | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Pre-train, fit the head beside LightGBM on the feature view, and measure.

    Args:
        num_customers: Of each of the three banks.
    Returns:
        (files, card): see `model.to_files`; the card's fields for the registry.
    """
    contrast = contrast or Contrast(steps=100)
    progress("finance: simulating banks", 0.0)
    unlabelled, labelled, held_out = (simulate(num_customers, seed=SEED + i) for i in range(3))
    encoder = EventEncoder(EncoderConfig(), seed=SEED)
    pretrain(
        encoder,
        read_histories(unlabelled.events, list(unlabelled.customers.index)),
        contrast,
        progress=lambda share: progress("finance: reading histories without labels", 0.1 + 0.6 * share),
    )
    progress("finance: fitting the sequence term", 0.7)
    features, vectors = [], []
    for bank in (labelled, held_out):
        customers = list(bank.customers.index)
        features.append(features_of(bank.events, as_of_s=int(bank.as_of.timestamp()), customers=customers))
        vectors.append(encoder.embed(read_histories(bank.events, customers)))
    offset = out_of_fold_logits(features[0], labelled.default)
    head = fit_head(vectors[0], labelled.default, offset, tuning=TUNING)
    base = aggregate_logits(features[0], labelled.default, features[1])
    gain = auc_difference(held_out.default, base + head.logits(vectors[1]), base)
    card = {
        "trained_on": f"{num_customers:,} histories without and {num_customers:,} with outcomes. {SYNTHETIC_NOTE}",
        "licence": "Apache-2.0",
        "recipe": "CoLES pre-training (arXiv:2002.08232), bounded head; verticals/finance/histories/training.py",
        "metrics": {"AUC over the feature view alone": [round(x, 6) for x in gain]},
        "limits": f"{SYNTHETIC_NOTE} Its figures say nothing of real customers: train it on a bank's own histories.",
    }
    return to_files(encoder, head), card
