"""Planted order (SYNTHETIC): histories with the same aggregates, whose order tells who defaults.

    python -m benchmarks.histories            # three minutes of processor time
    python -m benchmarks.histories --quick    # a smoke run, ten seconds; its figures mean nothing

Simulated banks: one pre-trains (outcomes not read), one trains trees, heads and tuning, one is only scored. Baseline:
LightGBM on the feature view. Each other entrant adds one bounded term to the baseline's log odds, except "hand-made
pairs of kinds": LightGBM that is also given counts of which kind follows which, as one who knew the order would.
Differences of AUC are paired (DeLong 1988), 95 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from verticals.finance.histories.aggregates import Array, aggregate_logits, out_of_fold_logits
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder, Histories, read_histories
from verticals.finance.histories.head import SequenceHead, Tuning, fit_head, tune
from verticals.finance.histories.pretrain import Contrast, pretrain
from verticals.finance.histories.view_frame import features_of
from verticals.finance.metrics import auc, auc_difference_se, auc_se
from verticals.finance.simulator.bank import Bank, simulate, swap_pairs

SEED = 101
Z = 1.959964


@dataclass(frozen=True)
class Size:
    """Customers and steps of a run."""

    unlabelled: int = 4000
    train: int = 4000
    test: int = 5000
    steps: int = 300
    epochs: int = 4


QUICK = Size(unlabelled=100, train=200, test=200, steps=5, epochs=1)


@dataclass(frozen=True)
class Sample:
    """One bank, read."""

    bank: Bank
    features: pd.DataFrame
    histories: Histories

    @classmethod
    def of(cls, bank: Bank) -> Sample:
        """Features and histories on the day of the applications."""
        customers = list(bank.customers.index)
        features = features_of(bank.events, as_of_s=int(bank.as_of.timestamp()), customers=customers)
        return cls(bank, features, read_histories(bank.events, customers))


def kind_pairs(histories: Histories) -> pd.DataFrame:
    """How often each kind follows each kind, by customer."""
    step_E = histories.steps_E2[:, 0].numpy()
    owner_E = np.repeat(np.arange(len(histories.customers)), histories.counts)
    counts = pd.crosstab(owner_E, step_E).reindex(range(len(histories.customers)), fill_value=0)
    return counts.add_prefix("step_").set_axis(list(histories.customers))


def twins_told_apart(test: Sample, encoder: EventEncoder, head: SequenceHead) -> tuple[int, int]:
    """(right, all): customers whose term moves with the risk when the order, and nothing else, is turned round."""
    bank = test.bank
    turned = read_histories(swap_pairs(bank), list(bank.customers.index))
    moved = head.logits(encoder.embed(turned)) - head.logits(encoder.embed(test.histories))
    truth = -2 * bank.terms["order"].to_numpy()  # turning s - .5 round gives .5 - s
    differs = np.abs(truth) > 1e-9
    return int((np.sign(moved) == np.sign(truth))[differs].sum()), int(differs.sum())


def evaluate(size: Size) -> tuple[dict[str, Array], Sample, tuple[int, int]]:
    """Log odds of the held-out bank by entrant, the baseline first; that bank; the served entrant's twins."""
    train, test = Sample.of(simulate(size.train, seed=SEED + 1)), Sample.of(simulate(size.test, seed=SEED + 2))
    outcome = train.bank.default
    _note("simulated")
    offset, base = out_of_fold_logits(train.features, outcome), aggregate_logits(train.features, outcome, test.features)
    found = {"LightGBM on the feature view (baseline)": base}
    pairs = [pd.concat([s.features, kind_pairs(s.histories)], axis=1) for s in (train, test)]
    hand_made = aggregate_logits(pairs[0], outcome, pairs[1].reindex(columns=pairs[0].columns, fill_value=0))
    _note("trees fitted")

    encoder, tuning = EventEncoder(EncoderConfig(), seed=SEED), Tuning(epochs=size.epochs)
    head = fit_head(encoder.embed(train.histories), outcome, offset, tuning=tuning)
    found["+ sequence term, random encoder"] = base + head.logits(encoder.embed(test.histories))
    _note("random encoder read")
    unlabelled = simulate(size.unlabelled, seed=SEED)
    histories = read_histories(unlabelled.events, list(unlabelled.customers.index))
    pretrain(encoder, histories, Contrast(steps=size.steps, seed=SEED))
    _note("pre-trained")
    head = fit_head(encoder.embed(train.histories), outcome, offset, tuning=tuning)
    found["+ sequence term, CoLES encoder (served)"] = base + head.logits(encoder.embed(test.histories))
    twins = twins_told_apart(test, encoder, head)
    _note("CoLES encoder read")
    tuned = deepcopy(encoder)
    head = tune(tuned, train.histories, outcome, offset, tuning=tuning)
    found["+ sequence term, CoLES encoder tuned with its head"] = base + head.logits(tuned.embed(test.histories))
    _note("tuned")
    found["LightGBM on the view and hand-made pairs of kinds"] = hand_made
    truth = test.bank.terms.drop(columns=["outlook", "document"]).sum(axis=1).to_numpy()
    found["the default process itself, without text and document"] = truth
    return found, test, twins


def main(arguments: list[str] | None = None) -> None:
    """Print one Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    size = QUICK if parser.parse_args(arguments).quick else Size()
    torch.set_num_threads(1)
    found, test, twins = evaluate(size)
    default = test.bank.default.astype(float)
    base = next(iter(found.values()))
    print(f"SYNTHETIC. {size.test:,} held-out customers, {int(default.sum())} defaults; trained on {size.train:,}.\n")
    print("| score | AUC [95 %] | AUC, this - baseline [95 %] |\n|---|---|---|")
    for name, score in found.items():
        value, half = auc(default, score), Z * auc_se(default, score)
        row = f"| {name} | {value:.4f} [{value - half:.4f}, {value + half:.4f}] |"
        if score is not base:
            gap, half = value - auc(default, base), Z * auc_difference_se(default, score, base)
            row += f" {gap:+.4f} [{gap - half:+.4f}, {gap + half:+.4f}] |"
        print(row)
    random, coles = list(found.values())[1:3]
    gap, half = auc(default, coles) - auc(default, random), Z * auc_difference_se(default, coles, random)
    print(f"\nCoLES less random: {gap:+.4f} [{gap - half:+.4f}, {gap + half:+.4f}].")
    print(f"Twins, alike but for their pairs turned round, told apart by the served term: {twins[0]} of {twins[1]}.")


def _note(what: str) -> None:
    print(f"{time.process_time():.0f} s: {what}", file=sys.stderr)


if __name__ == "__main__":
    main()
