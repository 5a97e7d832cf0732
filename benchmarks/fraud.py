"""Card fraud (SIMULATED data of the Fraud Detection Handbook): the published aggregates, and ours beside them.

    TRIVIUM_DATA=... python -m benchmarks.fraud      # three minutes of one core

April fills the windows, 1 May to 23 June trains, July is held out: what happened in the last week of June is not known
on 1 July. Features of July know a fraud seven days later, as the bank would. Both entrants are LightGBM with one
setting, which was not chosen on July. 95 %: bootstrap over terminals, because the frauds at a compromised terminal come
together.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.setting import data_folder
from verticals.finance.fraud.features import Transactions, published_features, velocity_features
from verticals.finance.fraud.figures import DRAWS, Floats, Metric, over_terminals, weighted_auc, weighted_recall
from verticals.finance.fraud.model import fit_trees

FILE = Path("finance") / "card_fraud_simulated" / "transactions_dev.parquet"
TRAIN_FROM, TRAIN_TO, TEST_FROM = (pd.Timestamp(day) for day in ("2018-05-01", "2018-06-24", "2018-07-01"))


def load(folder: Path) -> tuple[Transactions, NDArray[np.int64]]:
    """Transactions in time order, and each one's scenario (0: genuine)."""
    table = pd.read_parquet(folder / FILE).sort_values("TX_DATETIME", kind="stable")
    transactions = Transactions(
        at_s=table["TX_DATETIME"].to_numpy("datetime64[s]").astype(np.int64),
        customer=table["CUSTOMER_ID"].to_numpy(np.int64),
        terminal=table["TERMINAL_ID"].to_numpy(np.int64),
        amount_cents=np.rint(table["TX_AMOUNT"].to_numpy(float) * 100).astype(np.int64),
        fraud=table["TX_FRAUD"].to_numpy(np.int64),
    )
    return transactions, table["TX_FRAUD_SCENARIO"].to_numpy(np.int64)


def interval(metric: Metric, fraud: Floats, scores: list[Floats], terminal: NDArray[np.int64]) -> list[str]:
    """Each score's figure, and the second's less the first's, with 95 % intervals."""
    found, drawn = (part.squeeze(-2) for part in over_terminals([metric], fraud, scores, terminal, draws=DRAWS))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    texts = [f"{value:.4f} [{a:.4f}, {b:.4f}]" for value, a, b in zip(found, low, high, strict=True)]
    a, b = np.percentile(np.diff(drawn, axis=1)[:, 0], [2.5, 97.5])
    return [*texts, f"{found[1] - found[0]:+.4f} [{a:+.4f}, {b:+.4f}]"]


def main() -> None:
    """Print one Markdown table."""
    transactions, scenario = load(data_folder("finance/card_fraud_simulated"))
    at = pd.to_datetime(transactions.at_s, unit="s")
    train, test = (at >= TRAIN_FROM) & (at < TRAIN_TO), at >= TEST_FROM
    published = published_features(transactions)
    ours = pd.concat([published, velocity_features(transactions)], axis=1)
    print(f"{time.process_time():.0f} s: features", file=sys.stderr)
    fraud, scores = transactions.fraud[test].astype(float), []
    for features in (published, ours):
        trees = fit_trees(features[train], transactions.fraud[train])
        scores.append(np.asarray(trees.predict(features[test], raw_score=True)))
        print(f"{time.process_time():.0f} s: fitted", file=sys.stderr)
    print(
        f"SIMULATED. July 2018: {test.sum():,} transactions, {int(fraud.sum()):,} frauds; trained on {train.sum():,}.\n"
    )
    print("| figure | published aggregates (baseline) | and velocity, terminal, sequence | difference |")
    print("|---|---|---|---|")
    terminal = transactions.terminal[test]
    for name, metric in (("AUC", weighted_auc), ("recall at 1 % false positives", weighted_recall)):
        print(f"| {name} | {' | '.join(interval(metric, fraud, scores, terminal))} |", flush=True)
    kinds = {1: "large amounts", 2: "compromised terminals", 3: "compromised customers"}
    for number, name in kinds.items():
        kept = (fraud == 0) | (scenario[test] == number)
        cells = interval(weighted_recall, fraud[kept], [score[kept] for score in scores], terminal[kept])
        print(f"| the same, {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
