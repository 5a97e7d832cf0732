"""Credit samples, repeated cross-validation: the MoE scorer and the served scorecard beside baselines. Keeps no model.

    python -m benchmarks.credit german german-all german-raw credit_data lending_club lending_club-without

With `--keep FOLDER`, what an entrant predicted out of fold is written to the folder and not computed again: a run that
was broken off goes on. German 3 x 10, the others 3 x 3. Differences are tested per fold with the corrected resampled
t test (Nadeau and Bengio 2003, Machine Learning 52): folds share training rows, so the plain one is far too sure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.credit_data import SAMPLES
from benchmarks.credit_entrants import BASELINES, moe, xgboost_told
from verticals.finance import metrics
from verticals.finance.train import moe_predictor
from verticals.finance.validate import OutOfFold, Predictor, cross_validate, scorecard_predictor
from verticals.finance.validation.calibration import traffic_light

REPEATS, SEED = 3, 7
OURS = "MoE scorer"


def corrected_t(a: np.ndarray, b: np.ndarray, *, folds: int) -> tuple[float, float, float]:
    """(mean difference, half-width of its 95 % interval, p) of per-fold figures on the same folds."""
    gap = a - b
    spread = np.sqrt((1 / len(gap) + 1 / (folds - 1)) * gap.var(ddof=1))
    t = stats.t(len(gap) - 1)
    return float(gap.mean()), float(t.ppf(0.975) * spread), float(2 * t.sf(abs(gap.mean()) / spread))


def grades(default: np.ndarray, prob_default: np.ndarray) -> str:
    """How many tenths by prediction are green, yellow and red by the Jeffreys traffic light."""
    found = [band.grade for band in traffic_light(default, prob_default)]
    return "/".join(str(found.count(grade)) for grade in ("green", "yellow", "red"))


def table(found: dict[str, OutOfFold], *, folds: int, ours: str) -> str:
    """Markdown; AUC, KS and Brier are means over the held-out folds, slope and grades over and of the repeats."""
    our_aucs = found[ours].per_fold(metrics.auc)
    lines = [
        "| model | AUC [95 %] | KS | Brier | slope | green/yellow/red | AUC, MoE - this [95 %] | p |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, oof in found.items():
        aucs, default = oof.per_fold(metrics.auc), oof.default
        _, half, _ = corrected_t(aucs, np.zeros_like(aucs), folds=folds)
        slopes = [metrics.calibration_slope(default.astype(float), p) for p in oof.prob_default]
        row = [f"{aucs.mean():.4f} ±{half:.4f}", f"{oof.per_fold(metrics.ks).mean():.3f}"]
        row += [f"{oof.per_fold(metrics.brier).mean():.4f}", f"{np.mean(slopes):.2f}"]
        row += ["; ".join(grades(default, p) for p in oof.prob_default)]
        if name == ours:
            row += ["", ""]
        else:
            gap, half, p = corrected_t(our_aucs, aucs, folds=folds)
            row += [f"{gap:+.4f} [{gap - half:+.4f}, {gap + half:+.4f}]", f"{p:.2f}"]
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def kept(path: Path | None, compute: Callable[[], OutOfFold]) -> OutOfFold:
    """Predictions read from a file if they are there; else computed and written to it."""
    if path is not None and path.exists():
        with np.load(path) as stored:
            return OutOfFold(**stored)
    found = compute()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, default=found.default, prob_default=found.prob_default, fold=found.fold)
    return found


def measure(name: str, *, seed: int, folder: Path | None = None) -> str:
    """All entrants on one sample; `folder` keeps their predictions."""
    sample = SAMPLES[name]
    frame, default = sample.load()
    entrants: dict[str, Predictor] = {OURS: moe(**sample.told)}
    if name == "german":
        entrants |= {"MoE scorer (served)": moe_predictor, "WoE scorecard (served)": scorecard_predictor}
    entrants |= BASELINES
    if sample.told:
        entrants["XGBoost, told the same"] = xgboost_told(**sample.told)
    found = {}
    for entrant, predictor in entrants.items():
        start = time.process_time()
        found[entrant] = kept(
            folder / f"{name}, {entrant}, seed {seed}.npz" if folder else None,
            partial(cross_validate, frame, default, predictor, repeats=REPEATS, seed=seed, folds=sample.folds),
        )
        print(f"{name}, {entrant}: {time.process_time() - start:.0f} CPU s", file=sys.stderr)
    shape = f"{len(frame):,} rows, {default.mean():.1%} bad, {frame.shape[1]} fields"
    head = f"{name} ({sample.note or 'all columns'}): {shape}"
    return f"\n{head}; {REPEATS} x {sample.folds}, seed {seed}\n\n{table(found, folds=sample.folds, ours=OURS)}"


def main(argv: list[str] | None = None) -> None:
    """Print a table for each sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="*", choices=list(SAMPLES), default=["german", "german-all"])
    parser.add_argument("--seed", type=int, default=SEED, help="of the folds; settings were chosen on 101 and 102")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for predictions; those that are there are read")
    args = parser.parse_args(argv)
    for name in args.samples:
        print(measure(name, seed=args.seed, folder=args.keep), flush=True)


if __name__ == "__main__":
    main()
