"""The nightly figures of intent, scope and emotion, each beside its baseline. Ignores how they are reported.

Banking77 and GoEmotions are development data: without TRIVIUM_DATA their suites are skipped. The full set of draws and
the SVM baseline are `python -m benchmarks.understanding`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from verticals.bootstrap import bootstrap_interval
from verticals.contract import Metric, Progress, Resources, Suite

if TYPE_CHECKING:
    from verticals.support.understanding.trials import Embedded
    from verticals.support.understanding.tuning import UpperLayers

BANKING = "Banking77 (Casanueva 2020, CC BY 4.0)"
GOEMOTIONS = "GoEmotions (Demszky 2020, CC BY 4.0)"
DRAW = 10  # the first of the benchmark's


def understanding_suites(resources: Resources) -> Sequence[Suite]:
    """Intents, what lies outside them, and emotions."""
    runs = _Runs(resources)
    return [
        Suite(
            name="intents",
            dataset=BANKING,
            split=f"test; fitted on train, all of it and ten texts an intent (draw {DRAW}); 95 % bootstrap over texts",
            solver="intent reader: kernel ridge on sentence vectors and words; few examples tune the encoder",
            scorer="accuracy; baseline: nearest mean of the same vectors",
            run=runs.intents,
            inside="it fits a reader to the intents of a public data set",
        ),
        Suite(
            name="out of scope",
            dataset=BANKING,
            split=f"test; a fifth of the intents held out of train, draw {DRAW}; 95 % bootstrap over texts",
            solver="intent reader: familiarity",
            scorer="AUROC, known against held-out intents; baseline: the reader's largest softmax share",
            run=runs.out_of_scope,
            inside="it fits a reader to the intents of a public data set",
        ),
        Suite(
            name="emotions",
            dataset=GOEMOTIONS,
            split="dev; thresholds are of a held part of train; 95 % bootstrap over texts",
            solver="the shipped emotion model",
            scorer="macro-F1 of 28 labels; baseline: logistic regression on the untouched encoder, from the model card",
            run=runs.emotions,
            inside="an answer shows a tone, not the 28 emotions that it comes from",
        ),
    ]


class _Runs:
    """The suites' `run` functions; the encoder is read when the first of them runs."""

    def __init__(self, resources: Resources) -> None:
        self._data_dir = resources.data_dir
        self._read: tuple[Embedded, Embedded, UpperLayers] | None = None

    def intents(self, progress: Progress) -> list[Metric]:
        from verticals.support.understanding import trials

        train, test, layers = self._banking(progress)
        metrics = []
        few = trials.draw_few(train.data, trials.FEW_EXAMPLES, seed=DRAW)
        for name, rows in (("accuracy", np.arange(len(train.data.texts))), ("accuracy, ten examples", few)):
            right = trials.run_trial(train, test, rows, layers).right
            baseline = trials.nearest_means(train, test, rows)
            metrics.append(_metric(name, right, "nearest mean", baseline, lambda drawn: float(drawn.mean())))
        return metrics

    def out_of_scope(self, progress: Progress) -> list[Metric]:
        from verticals.support.understanding import trials

        train, test, layers = self._banking(progress)
        trial = trials.run_trial(train, test, trials.draw_known(train.data, seed=DRAW), layers)
        softmax = trials.auroc(trial.known, trial.top_share)
        rows = np.column_stack([trial.known, trial.familiarity])
        return [
            _metric("AUROC", rows, "max-softmax", softmax, lambda drawn: trials.auroc(drawn[:, 0] > 0, drawn[:, 1]))
        ]

    def _banking(self, progress: Progress) -> tuple[Embedded, Embedded, UpperLayers]:
        from verticals.support.understanding.datasets import load_banking
        from verticals.support.understanding.encoder import TextReader
        from verticals.support.understanding.intent_training import intent_layers
        from verticals.support.understanding.trials import Embedded

        if self._read is None:
            train, test = load_banking(self._data_dir, "train"), load_banking(self._data_dir, "test")
            progress("Reading Banking77", 0.0)
            layers = intent_layers(TextReader())
            self._read = Embedded(train, layers.read(train.texts)), Embedded(test, layers.read(test.texts)), layers
        return self._read

    def emotions(self, progress: Progress) -> list[Metric]:
        from verticals.support.understanding.datasets import load_goemotions
        from verticals.support.understanding.emotion import EmotionModel, macro_f1
        from verticals.support.understanding.encoder import TextReader
        from verticals.support.understanding.tuning import UpperLayers

        dev, model = load_goemotions(self._data_dir, "dev"), EmotionModel.load()
        progress("Reading emotions", 0.0)
        layers = UpperLayers(TextReader(), model.delta.first_layer if model.delta else 0)
        vectors_ND = layers.vectors(layers.lower_states(dev.texts), model.delta).numpy()
        value, low, high = macro_f1(model.head.mark(vectors_ND), dev.target_NC)
        return [
            Metric(
                "macro-F1",
                value,
                low,
                high,
                len(dev.texts),
                baseline="logistic regression, frozen encoder",
                baseline_value=float(model.card["baseline_macro_f1"]),
            )
        ]


def _metric(
    name: str, rows: NDArray[Any], baseline: str, baseline_value: float, figure: Callable[[NDArray[Any]], float]
) -> Metric:
    low, high = bootstrap_interval(rows, figure)
    return Metric(name, figure(rows), low, high, len(rows), baseline=baseline, baseline_value=baseline_value)
