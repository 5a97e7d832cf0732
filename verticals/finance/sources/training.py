"""Trains the terms on simulated banks. SYNTHETIC: a bank trains on its own outcomes (`outcomes.py`).

Two banks of other seeds than the encoder's, so that nothing is measured on what was learned from: one to train, one
held out for the card's figures. The offset is the simulated application's own table, out of fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from retrieval.embed import Embedder
from verticals.contract import Progress
from verticals.finance import metrics
from verticals.finance.documents.mismatch import RULES
from verticals.finance.histories.encoder import EventEncoder, read_histories
from verticals.finance.moe.estimator import MoEScorer
from verticals.finance.simulator import SYNTHETIC_NOTE
from verticals.finance.simulator.bank import Bank, simulate
from verticals.finance.sources.fit import Recipe, SourceInput, fit_sources
from verticals.finance.sources.inputs import (
    DOCUMENT,
    Array,
    history_names,
    text_names,
    view_at_last_event,
)
from verticals.finance.sources.model import SourceModel, to_files
from verticals.finance.sources.names import SOURCES, Source

SEED, HELD_OUT_SEED = 501, 601  # settings were chosen on the second
NUM_TRAIN, NUM_HELD_OUT = 3500, 3000
TABLE = ("income", "employment", "has_line")  # what a simulated application says
Z = 1.959964


@dataclass(frozen=True)
class Sample:
    """A simulated bank as the fit reads it."""

    table: pd.DataFrame
    inputs: dict[Source, SourceInput]
    default: NDArray[np.int_]


def sample_of(bank: Bank, *, encoder: EventEncoder, encoder_id: str, embedder: Embedder) -> Sample:
    """Everything that the sources say of a bank's customers."""
    customers = list(bank.customers.index)
    view = view_at_last_event(bank.events, customers).to_numpy(float)
    vector_ND = encoder.embed(read_histories(bank.events, customers)).astype(np.float64)
    view[np.isnan(vector_ND).all(1)] = np.nan  # nobody without an event has a history
    text_ND = embedder.embed(bank.texts).astype(np.float64)
    document_ND = bank.documents[list(DOCUMENT)].to_numpy(float)
    return Sample(
        table=bank.customers[list(TABLE)].assign(has_line=bank.customers["has_line"].astype(float)),
        inputs={
            "history": SourceInput(
                encoder_id, history_names(vector_ND.shape[1]), np.concatenate([view, vector_ND], axis=1)
            ),
            "text": SourceInput(embedder.name, text_names(text_ND.shape[1]), text_ND),
            "document": SourceInput(RULES, DOCUMENT, document_ND),
        },
        default=bank.default,
    )


def table_logits(train: pd.DataFrame, default: NDArray[np.int_], test: pd.DataFrame) -> Array:
    """Log odds of `test` by the product's scorer on the table's fields."""
    logits: Array = MoEScorer(random_state=SEED).fit(train, default).decision_function(test)
    return logits


def out_of_fold_table(table: pd.DataFrame, default: NDArray[np.int_], *, folds: int = 3) -> Array:
    """The same for the training customers themselves, each by a table that has not seen it."""
    fold_N = np.random.default_rng(SEED).permutation(len(default)) % folds
    found = np.empty(len(default))
    for fold in range(folds):
        out = fold_N == fold
        found[out] = table_logits(table[~out], default[~out], table[out])
    return found


def term_columns(model: SourceModel, inputs: dict[Source, SourceInput], *, leave_out: Source | None = None) -> Array:
    """The terms of all customers as served, (N, S); a source that is left out is missing for everyone."""
    num = len(next(iter(inputs.values())).x_ND)
    bounded_NS = np.full((num, len(SOURCES)), np.nan)
    for i, source in enumerate(SOURCES):
        if source in inputs and source != leave_out and (head := model.head(source, inputs[source].reads)):
            rows = inputs[source].present
            bounded_NS[rows, i] = [head.bounded(x_D) for x_D in inputs[source].x_ND[rows]]
    term_NS = np.zeros_like(bounded_NS)
    for row, values in enumerate(bounded_NS.tolist()):
        for source, term in model.terms({s: v for s, v in zip(SOURCES, values, strict=True) if v == v}).items():
            term_NS[row, SOURCES.index(source)] = term
    return term_NS


def train_simulated(
    progress: Progress,
    *,
    encoder: EventEncoder,
    encoder_id: str,
    embedder: Embedder,
    num_train: int = NUM_TRAIN,
    num_held_out: int = NUM_HELD_OUT,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Fit the three terms, and measure them.

    Returns:
        (files, card): see `model.to_files`; the card's fields for the registry.
    """
    progress("finance: simulating banks", 0.0)
    made = {"encoder": encoder, "encoder_id": encoder_id, "embedder": embedder}
    train = sample_of(simulate(num_train, seed=SEED), **made)  # type: ignore[arg-type]
    held_out = sample_of(simulate(num_held_out, seed=HELD_OUT_SEED), **made)  # type: ignore[arg-type]
    progress("finance: fitting the terms of the sources", 0.7)
    return _fit_and_measure(train, held_out)


def _fit_and_measure(train: Sample, held_out: Sample) -> tuple[dict[str, bytes], dict[str, Any]]:
    offset = out_of_fold_table(train.table, train.default)
    model = fit_sources(train.inputs, train.default, offset, recipe=Recipe(), synthetic=True)
    base = table_logits(train.table, train.default, held_out.table)
    full = base + term_columns(model, held_out.inputs).sum(1)
    card = {
        "trained_on": f"{len(train.default):,} simulated customers; measured on {len(held_out.default):,} others. "
        f"{SYNTHETIC_NOTE}",
        "licence": "Apache-2.0",
        "recipe": "Bounded heads and a gate, table's logit as offset; verticals/finance/sources/training.py",
        "metrics": {"AUC over the table alone": gain(held_out.default, full, base)},
        "limits": f"{SYNTHETIC_NOTE} Its terms count for simulated customers alone: train them on a bank's outcomes.",
    }
    return to_files(model), card


def gain(default: NDArray[np.int_], ours: Array, other: Array) -> list[float]:
    """[difference, low, high] of AUCs on the same applicants; paired, DeLong, 95 %."""
    y = default.astype(float)
    gap, half = metrics.auc(y, ours) - metrics.auc(y, other), Z * metrics.auc_difference_se(y, ours, other)
    return [round(float(x), 6) for x in (gap, gap - half, gap + half)]
