"""How well intents and emotions are read, each figure beside its baseline and with a 95 % interval.

    TRIVIUM_DATA=... python -m benchmarks.understanding full        # Banking77, all training texts
    TRIVIUM_DATA=... python -m benchmarks.understanding few         # Banking77, ten examples an intent, five draws
    TRIVIUM_DATA=... python -m benchmarks.understanding oos         # a fifth of the intents held out, five draws
    TRIVIUM_DATA=... python -m benchmarks.understanding emotion     # GoEmotions dev, the shipped model
    TRIVIUM_DATA=... python -m benchmarks.understanding train       # trains that model anew, into the package's folder
    TRIVIUM_DATA=... python -m benchmarks.understanding train-head  # the same without tuning the encoder
    python -m benchmarks.understanding shop                         # the shop's own utterances
    python -m benchmarks.understanding latency                      # intent and emotion of one message, one thread
    python -m benchmarks.understanding few --encoder FOLDER         # by another encoder; full, oos, shop, latency too

Nothing is fitted or chosen on a test or dev split. Recipes were compared on texts of the training split alone.
Minutes on one core: train 25, few and shop 8, the others 1 to 3.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.svm import SVC

from benchmarks.lineage import record
from verticals.bootstrap import bootstrap_interval
from verticals.support.understanding import trials
from verticals.support.understanding.datasets import load_banking, load_goemotions
from verticals.support.understanding.emotion import WEIGHTS_DIR, EmotionModel, macro_f1
from verticals.support.understanding.emotion_training import HELD_SHARE, RARITY, RECIPE, train_plain, train_tuned
from verticals.support.understanding.encoder import TextReader
from verticals.support.understanding.intent import soft_shares
from verticals.support.understanding.intent_training import intent_layers, intent_vectors, train_intents
from verticals.support.understanding.messages import (
    OUT_OF_SCOPE,
    SHOP_THRESHOLD,
    MessageReader,
    Utterances,
    load_utterances,
)
from verticals.support.understanding.trials import Embedded
from verticals.support.understanding.tuning import ReadTexts, UpperLayers

DRAWS = 5
FIRST_DRAW = 10  # draws below 10 and above 200, on training texts alone, compared recipes


def data_dir() -> Path | None:
    """TRIVIUM_DATA, or None."""
    return Path(os.environ["TRIVIUM_DATA"]) if "TRIVIUM_DATA" in os.environ else None


def banking(layers: UpperLayers) -> tuple[Embedded, Embedded]:
    """Banking77's train and test split as `layers` read them."""
    train, test = load_banking(data_dir(), "train"), load_banking(data_dir(), "test")
    return Embedded(train, layers.read(train.texts)), Embedded(test, layers.read(test.texts))


def show(name: str, figure: float, interval: Sequence[float], baseline: str) -> None:
    """One line of the report."""
    print(f"{name}: {figure:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]   baseline: {baseline}", flush=True)


def over_draws(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t interval of the mean over draws."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def svm_right(train: Embedded, test: Embedded, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The baseline: scikit-learn's SVM with an RBF kernel on the same vectors."""
    svm = SVC(C=10).fit(train.read.plain_ND[rows], train.data.labels[rows])
    return np.asarray(svm.predict(test.read.plain_ND) == test.data.labels)


def full(train: Embedded, test: Embedded, layers: UpperLayers) -> None:
    """Accuracy on the test split after all training texts."""
    rows = np.arange(len(train.data.texts))
    right, plain = trials.run_trial(train, test, rows, layers).right, svm_right(train, test, rows)
    show("Banking77 test accuracy, full", right.mean(), bootstrap_interval(right), f"SVM {plain.mean():.4f}")
    gap = right.astype(float) - plain
    show("  ours minus SVM, paired", gap.mean(), bootstrap_interval(gap), "0")


def few(train: Embedded, test: Embedded, layers: UpperLayers) -> None:
    """Accuracy on the test split after ten examples an intent."""
    ours, plain = [], []
    for seed in range(FIRST_DRAW, FIRST_DRAW + DRAWS):
        rows = trials.draw_few(train.data, trials.FEW_EXAMPLES, seed=seed)
        ours.append(float(trials.run_trial(train, test, rows, layers).right.mean()))
        plain.append(float(svm_right(train, test, rows).mean()))
        print(f"  draw {seed}: {ours[-1]:.4f}, SVM {plain[-1]:.4f}", flush=True)
    show("Banking77 test accuracy, 10-shot", float(np.mean(ours)), over_draws(ours), f"SVM {np.mean(plain):.4f}")


def oos(train: Embedded, test: Embedded, layers: UpperLayers) -> None:
    """AUROC of known against held-out intents on the test split."""
    ours, plain = [], []
    for seed in range(FIRST_DRAW, FIRST_DRAW + DRAWS):
        trial = trials.run_trial(train, test, trials.draw_known(train.data, seed=seed), layers)
        ours.append(trials.auroc(trial.known, trial.familiarity))
        plain.append(trials.auroc(trial.known, trial.top_share))
        print(f"  draw {seed}: {ours[-1]:.4f}, max-softmax {plain[-1]:.4f}", flush=True)
    show("out-of-scope AUROC", float(np.mean(ours)), over_draws(ours), f"max-softmax {np.mean(plain):.4f}")


def emotion() -> None:
    """Macro-F1 of the shipped model on GoEmotions dev."""
    model = EmotionModel.load()
    figure, *interval = measure_emotion(model)
    show("GoEmotions dev macro-F1", figure, interval, f"logistic regression {model.card['baseline_macro_f1']}")


def measure_emotion(model: EmotionModel) -> tuple[float, float, float]:
    """Macro-F1 on GoEmotions dev and its interval."""
    first_layer = model.delta.first_layer if model.delta else 0
    dev, layers = load_goemotions(data_dir(), "dev"), UpperLayers(TextReader(), first_layer)
    vectors = layers.vectors(layers.lower_states(dev.texts), model.delta).numpy()
    return macro_f1(model.head.mark(vectors), dev.target_NC)


def train(*, tuned: bool = True) -> None:
    """Train the emotion model and write it, with its figures on its card, where the product reads it."""
    data, start = load_goemotions(data_dir(), "train"), time.monotonic()
    layers = UpperLayers(TextReader(), RECIPE.first_layer)
    read = layers.read(data.texts)
    model = plain = EmotionModel(None, train_plain(data, read.plain_ND), {})
    if tuned:
        delta, head = train_tuned(
            data,
            read,
            layers=layers,
            on_progress=lambda share: print(
                f"\r{share:5.1%} {time.monotonic() - start:.0f} s", end="", file=sys.stderr
            ),
        )
        model = EmotionModel(delta, head, {})
    write_emotion(model, baseline=measure_emotion(plain)[0])


def train_head() -> None:
    """The same without tuning the encoder: six minutes."""
    train(tuned=False)


def write_emotion(model: EmotionModel, *, baseline: float) -> None:
    """Measure a model and save it with its card."""
    figure, *interval = measure_emotion(model)
    tuned = model.delta is not None
    card = {
        "name": "support.emotion",
        "base_model": "all-MiniLM-L6-v2 (Apache-2.0), unchanged; "
        + ("a low-rank delta and a head" if tuned else "a head"),
        "trained_on": f"GoEmotions train (Demszky 2020, arXiv:2005.00547), {HELD_SHARE:.0%} of it for thresholds alone",
        "data_licence": "CC BY 4.0",
        "licence": "Apache-2.0",
        "recipe": f"{RECIPE}, rarity {RARITY}" if tuned else f"logistic regression, rarity {RARITY}",
        "command": "python -m benchmarks.understanding " + ("train" if tuned else "train-head"),
        "measured_on": "GoEmotions dev, 5,426 texts, 28 labels; 95 % bootstrap over texts",
        "macro_f1": round(figure, 4),
        "macro_f1_interval": [round(bound, 4) for bound in interval],
        "baseline": "logistic regression on the encoder as it is, thresholds chosen alike",
        "baseline_macro_f1": round(baseline, 4),
        "limits": "English comments from Reddit; labels of one to three raters, rare ones unreliable. For tone and "
        "priority only, never for what a customer is entitled to.",
    }
    EmotionModel(model.delta, model.head, card).save(WEIGHTS_DIR)
    record("verticals/support/understanding/emotion/card.json")
    show("GoEmotions dev macro-F1", figure, interval, f"logistic regression {baseline:.4f}")


def shop(layers: UpperLayers) -> None:
    """The shop's test utterances: accuracy, and how out-of-scope ones are told apart; nothing is fitted on them."""
    fitted, test = load_utterances("train"), load_utterances("test")
    read, test_read = layers.read(fitted.texts), layers.read(test.texts)
    held_out_thresholds(fitted, read, layers)
    model, truth = train_intents(read, fitted.intents, layers), np.array(test.intents)
    scores, familiarity = model.score(test.texts, intent_vectors(test_read, model.delta, layers))
    known = truth != OUT_OF_SCOPE
    right = (np.array(model.labels)[scores.argmax(1)] == truth)[known]
    plain = (SVC(C=10).fit(read.plain_ND, fitted.intents).predict(test_read.plain_ND) == truth)[known]
    show("shop test utterances, accuracy", right.mean(), bootstrap_interval(right), f"SVM {plain.mean():.4f}")
    softmax = trials.auroc(known, soft_shares(scores).max(1))
    print(f"  out-of-scope AUROC {trials.auroc(known, familiarity):.4f}   baseline: max-softmax {softmax:.4f}")
    inside = familiarity >= SHOP_THRESHOLD
    kept, caught = inside[known].mean(), (~inside)[~known].mean()
    print(f"  at {SHOP_THRESHOLD}, the shipped threshold: {kept:.3f} of known kept, {caught:.3f} of others caught")


def held_out_thresholds(fitted: Utterances, read: ReadTexts, layers: UpperLayers) -> None:
    """Print what thresholds do to training utterances: their intent known (a fifth held back), and held out whole."""
    intents, rng = np.array(fitted.intents), np.random.default_rng(0)
    fold = rng.permutation(len(intents)) % 5
    names = rng.permutation(sorted(set(fitted.intents)))
    familiarity: dict[bool, list[float]] = {True: [], False: []}
    for i in range(5):
        for known, is_held in ((True, fold == i), (False, np.isin(intents, names[i::5]))):
            rows, held = np.flatnonzero(~is_held), read.take(np.flatnonzero(is_held))
            model = train_intents(read.take(rows), intents[rows].tolist(), layers)
            familiarity[known] += model.score(held.texts, intent_vectors(held, model.delta, layers))[1].tolist()
    for threshold in np.arange(-0.12, 0.17, 0.02):
        kept, caught = np.mean(familiarity[True] >= threshold), np.mean(familiarity[False] < threshold)
        print(f"  threshold {threshold:+.2f}: {kept:.3f} of known kept, {caught:.3f} of other intents caught")


def latency(layers: UpperLayers, *, is_own: bool) -> None:
    """Milliseconds for one message, one thread: by the clock and by processor time."""
    import torch

    torch.set_num_threads(1)
    fitted = load_utterances("train")
    intents = train_intents(layers.read(fitted.texts), fitted.intents, layers)
    own = layers.reader if is_own else None
    reader = MessageReader(TextReader(), intents, EmotionModel.load(), intent_reader=own)
    reader.read(fitted.texts[0])
    times = []
    for text in fitted.texts:
        start = time.perf_counter(), time.thread_time()
        reader.read(text)
        times.append((time.perf_counter() - start[0], time.thread_time() - start[1]))
    for name, column in zip(("by the clock", "processor"), 1000 * np.array(times).T, strict=True):
        p50, p95 = np.percentile(column, [50, 95])
        print(f"intent and emotion of a message, {name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms")


ON_BANKING = {"full": full, "few": few, "oos": oos}
OTHERS = {"emotion": emotion, "train": train, "train-head": train_head}


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=[*ON_BANKING, *OTHERS, "shop", "latency"])
    parser.add_argument("--encoder", type=Path, help="folder of the encoder that reads intents; MiniLM if none")
    args = parser.parse_args()
    if args.command in OTHERS:
        OTHERS[args.command]()
        return
    layers = intent_layers(TextReader(args.encoder))
    if args.command in ON_BANKING:
        ON_BANKING[args.command](*banking(layers), layers)
    elif args.command == "shop":
        shop(layers)
    else:
        latency(layers, is_own=args.encoder is not None)


if __name__ == "__main__":
    main()
