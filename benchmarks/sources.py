"""What history, text and document add to the application's table (SYNTHETIC), each by itself and together.

    python -m benchmarks.sources              # three minutes of processor time
    python -m benchmarks.sources --quick      # a smoke run; its figures mean nothing
    python -m benchmarks.sources train        # makes the shipped weights again: encoder, terms, cards

Simulated banks: one trains, another of another seed is only scored; the encoder has seen neither. The terms are those
that are served, by the shipped encoder. Baselines: the table alone, and LightGBM on everything at once (table, feature
view, vector of the history, embedding, document's features), which has no bound and no reasons. Differences of AUC are
paired (DeLong 1988), those of Brier by a paired bootstrap over customers; 95 %.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from benchmarks.lineage import ROOT, record
from retrieval.embed import MiniLMEmbedder
from verticals.bootstrap import bootstrap_interval
from verticals.finance import metrics
from verticals.finance.histories import training as sequence_training
from verticals.finance.histories.aggregates import aggregate_logits
from verticals.finance.histories.model import ENCODER, SEQUENCE, SequenceModel, encoder_id, from_files
from verticals.finance.scaling import prob_default
from verticals.finance.shipped import CARD, SHIPPED, folder_of
from verticals.finance.simulator.bank import simulate
from verticals.finance.sources import training
from verticals.finance.sources.fit import Recipe, fit_sources
from verticals.finance.sources.inputs import VECTOR, Array
from verticals.finance.sources.model import NAME
from verticals.finance.sources.names import LABELS, SOURCES

SEED = 201
COMMAND = "python -m benchmarks.sources train"


@dataclass(frozen=True)
class Size:
    """Customers of a run."""

    train: int = 2500
    test: int = 2500


QUICK = Size(train=300, test=300)


def shipped_sequence() -> SequenceModel:
    """The shipped encoder, as the registry would give it."""
    return from_files(SEQUENCE, {file: folder_of(SEQUENCE) / file for file in SHIPPED[SEQUENCE]})


def evaluate(size: Size) -> tuple[dict[str, Array], Array, Array]:
    """(log odds of the held-out bank by entrant, the table first; default; the process's own log odds)."""
    sequence, embedder = shipped_sequence(), MiniLMEmbedder()
    banks = [simulate(num, seed=SEED + i) for i, num in enumerate((size.train, size.test))]
    train, test = (
        training.sample_of(b, encoder=sequence.encoder, encoder_id=sequence.encoder_id, embedder=embedder)
        for b in banks
    )
    _note("read")
    offset = training.out_of_fold_table(train.table, train.default)
    base = training.table_logits(train.table, train.default, test.table)
    _note("tables fitted")
    model = fit_sources(train.inputs, train.default, offset, recipe=Recipe(), synthetic=True)
    _note("terms fitted")
    found = {"table alone": base}
    for source in SOURCES:
        alone = training.term_columns(model, {source: test.inputs[source]})
        found[f"table + {LABELS[source].lower()}"] = base + alone.sum(1)
    found["table + all three"] = base + training.term_columns(model, test.inputs).sum(1)
    for source in SOURCES:
        without = training.term_columns(model, test.inputs, leave_out=source)
        found[f"all but {LABELS[source].lower()}"] = base + without.sum(1)
    wide = [_wide(sample) for sample in (train, test)]
    found["LightGBM on everything"] = aggregate_logits(wide[0], train.default, wide[1])
    plain = [frame.drop(columns=list(frame.filter(like=f"history.{VECTOR}"))) for frame in wide]
    found["LightGBM without the history's vector"] = aggregate_logits(plain[0], train.default, plain[1])
    _note("trees fitted")
    return found, test.default.astype(float), banks[1].terms.sum(axis=1).to_numpy()


def _wide(sample: training.Sample) -> pd.DataFrame:
    """Everything as columns."""
    table = sample.table.assign(employment=sample.table["employment"].eq("self_employed").astype(float))
    columns = [table.reset_index(drop=True)]
    for source, one in sample.inputs.items():
        columns.append(pd.DataFrame(one.x_ND, columns=[f"{source}.{name}" for name in one.names]))
    return pd.concat(columns, axis=1)


def report(found: Mapping[str, Array], default: Array, truth: Array) -> None:
    """One Markdown table; differences against the table alone and against all three."""
    names = list(found)
    base, full = found[names[0]], found["table + all three"]
    head = ["score", "AUC", "Brier", "slope", "AUC, this - table alone [95 %]", "AUC, all three - this [95 %]"]
    head.append("Brier, this - table alone [95 %]")
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for name, score in [*found.items(), ("the default process itself", truth)]:
        prob = prob_default(score)
        line = [name, f"{metrics.auc(default, score):.4f}", f"{metrics.brier(default, prob):.4f}"]
        line.append(f"{metrics.calibration_slope(default, prob):.2f}")
        line.append("" if score is base else _told(training.gain(default.astype(int), score, base)))
        line.append("" if score is full else _told(training.gain(default.astype(int), full, score)))
        line.append("" if score is base else _told(_brier_gap(default, prob, prob_default(base)), places=5))
        print(f"| {' | '.join(line)} |")


def _brier_gap(default: Array, ours: Array, other: Array) -> list[float]:
    gap_N = (ours - default) ** 2 - (other - default) ** 2
    low, high = bootstrap_interval(gap_N[:, None], lambda rows: float(rows.mean()), draws=500)
    return [float(gap_N.mean()), low, high]


def _told(gap: list[float], places: int = 4) -> str:
    value, low, high = (f"{x:+.{places}f}" for x in gap)
    return f"{value} [{low}, {high}]"


def train() -> None:
    """Write the shipped weights and their cards."""
    files, card = sequence_training.train_sequence(_progress)
    _write(SEQUENCE, files, card, seed=sequence_training.SEED)
    sequence = shipped_sequence()
    assert sequence.encoder_id == encoder_id(files[ENCODER])
    _note("encoder trained")
    files, card = training.train_simulated(
        _progress, encoder=sequence.encoder, encoder_id=sequence.encoder_id, embedder=MiniLMEmbedder()
    )
    _write(NAME, files, card, seed=training.SEED)
    _note("terms trained")


def _write(name: str, files: Mapping[str, bytes], card: Mapping[str, Any], *, seed: int) -> None:
    folder = folder_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    sha256 = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    full = {"name": name, **card, "command": COMMAND, "seed": seed, "sha256": sha256}
    (folder / CARD).write_text(json.dumps(full, indent=1) + "\n", "utf-8")
    record((folder / CARD).relative_to(ROOT).as_posix())


def _progress(what: str, share: float) -> None:
    if share in (0.0, 0.7):
        _note(f"{what} {share:.0%}")


def _note(what: str) -> None:
    print(f"{time.process_time():.0f} s: {what}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Measure, or train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["measure", "train"], default="measure")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if asked.what == "train":
        train()
        return
    size = QUICK if asked.quick else Size()
    found, default, truth = evaluate(size)
    print(
        f"SYNTHETIC. {size.test:,} held-out customers (seed {SEED + 1}), {int(default.sum())} defaults; "
        f"trained on {size.train:,} (seed {SEED}).\n"
    )
    report(found, default, truth)


if __name__ == "__main__":
    main()
