"""Taiwan's card customers, 3 x 3 cross-validation: six months as a sequence, against the same months as columns.

    TRIVIUM_DATA=... python -m benchmarks.behaviour [--repeats 3]      # about 8 CPU minutes

Every entrant sees the same fields: the limit, education, marriage, sex and age, and six months of statements, payments
and delays. (Sex, marriage and age may not be scored; they stay so that figures compare with the literature.) Settings
were chosen on the first fold of another split, seed 101. Ignores the product's own histories: `benchmarks.histories`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from benchmarks.credit import SEED, corrected_t, table
from benchmarks.credit_entrants import lightgbm, moe, xgboost
from benchmarks.setting import data_folder
from verticals.finance import metrics
from verticals.finance.moe.bins import infer_fields
from verticals.finance.moe.sequence import SequenceRecipe, fit_with_sequence
from verticals.finance.scaling import prob_default
from verticals.finance.validate import Array, OutOfFold, Predictor

FOLDS, MEMBERS = 3, 2
STATIC = ("LIMIT_BAL", "AGE", "EDUCATION", "MARRIAGE", "SEX")
WORDS = ("EDUCATION", "MARRIAGE", "SEX")
OLDEST_FIRST = (6, 5, 4, 3, 2, 1)
SEQUENCE = "MoE scorer, months as a bounded sequence term"
COLUMNS = "MoE scorer, months as columns"


def load(folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """23 columns of 30,000 customers, and who defaulted in the month after."""
    raw = pd.read_csv(folder / "finance" / "taiwan_default" / "UCI_Credit_Card.csv").drop(columns="ID")
    default = raw.pop("default.payment.next.month").to_numpy()
    return raw.astype(dict.fromkeys(WORDS, str)), default


def months(frame: pd.DataFrame) -> np.ndarray:
    """Delay, statement and payment of each month as channels of a step, (N, 6, 14) fp32, oldest first."""
    delay = np.stack([frame[f"PAY_{i if i > 1 else 0}"] for i in OLDEST_FIRST], axis=1).astype(float)
    bill = np.stack([frame[f"BILL_AMT{i}"] for i in OLDEST_FIRST], axis=1).astype(float)
    paid = np.stack([frame[f"PAY_AMT{i}"] for i in OLDEST_FIRST], axis=1).astype(float)
    limit = frame["LIMIT_BAL"].to_numpy(dtype=float)[:, None]
    before = np.concatenate([np.full((len(frame), 1), np.inf), bill[:, :-1]], axis=1)
    states = [(delay == state).astype(float) for state in (-2, -1, 0, 1, 2)] + [delay >= 3]
    size = [_log(bill) / 10, _log(paid) / 10, np.repeat(np.log(limit) - 12, 6, axis=1)]
    shares = [
        np.clip(bill / limit, -0.5, 1.5),
        np.clip(paid / limit, 0, 1),
        np.clip(paid / np.maximum(before, 1), 0, 2),
    ]
    return np.stack([delay.clip(0) / 2, *states, *size, *shares, paid == 0, bill <= 0], axis=-1).astype(np.float32)


def with_sequence(train: pd.DataFrame, default: np.ndarray, test: pd.DataFrame) -> Array:
    """Limit and person as a table, the months as the sequence term; the mean logit of two networks."""
    static_train, static_test = train[list(STATIC)], test[list(STATIC)]
    step_NLC, test_NLC = months(train), months(test)
    total_N = np.zeros(len(test))
    for seed in range(MEMBERS):
        fields = infer_fields(static_train)
        member = fit_with_sequence(static_train, step_NLC, default, fields=fields, recipe=SequenceRecipe(), seed=seed)
        table_N, term_N = member.parts(static_test, test_NLC)
        total_N += (table_N + term_N).double().numpy()
    return prob_default(total_N / MEMBERS)


def _log(amounts: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sign(amounts) * np.log1p(np.abs(amounts))
    return found


def main(argv: list[str] | None = None) -> None:
    """Print the table, and the sequence's gain over columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(argv)
    frame, default = load(data_folder("finance/taiwan_default"))
    entrants: dict[str, Predictor] = {
        SEQUENCE: with_sequence,
        COLUMNS: moe(num_members=2),
        "LightGBM, months as columns": lightgbm,
        "XGBoost, months as columns": xgboost,
    }
    splits = list(
        RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=args.repeats, random_state=SEED).split(frame, default)
    )
    found = {}
    for name, predictor in entrants.items():
        prob_RN, fold_RN = np.empty((args.repeats, len(frame))), np.empty((args.repeats, len(frame)), dtype=int)
        for i, (train, test) in enumerate(splits):
            start = time.process_time()
            prob_RN[i // FOLDS, test] = predictor(frame.iloc[train], default[train], frame.iloc[test])
            fold_RN[i // FOLDS, test] = i % FOLDS
            seconds = time.process_time() - start
            auc = metrics.auc(default[test].astype(float), prob_RN[i // FOLDS, test])
            print(f"{name}, fold {i + 1}: AUC {auc:.4f}, {seconds:.0f} CPU s", file=sys.stderr, flush=True)
        found[name] = OutOfFold(default=default, prob_default=prob_RN, fold=fold_RN)
    print(f"30,000 customers, {default.mean():.1%} default; {args.repeats} x {FOLDS}, seed {SEED}\n")
    print(table(found, folds=FOLDS, ours=SEQUENCE))
    gap, half, p = corrected_t(*(found[name].per_fold(metrics.auc) for name in (SEQUENCE, COLUMNS)), folds=FOLDS)
    print(f"\nsequence - columns: {gap:+.4f} [{gap - half:+.4f}, {gap + half:+.4f}], p {p:.4f}")


if __name__ == "__main__":
    main()
