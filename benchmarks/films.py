"""The chest-film model: every figure of its page, and the weights that are shipped.

    TRIVIUM_DATA=... python -m benchmarks.films WHAT      WHAT: one of those that it lists without

Folds keep a patient's films together; whatever is chosen is chosen inside the training folds; 95 % intervals draw
patients. The first command that needs it trains the tower (under a minute of one core); the next read what was kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import films_children, films_gate, films_places, films_quality, films_ship
from benchmarks.films_data import KINDS, SETS, Films, Floats
from benchmarks.films_figures import auc_of, auc_within, calibrated, told, with_interval
from benchmarks.films_models import (
    SIZE,
    centre_prior,
    held_out,
    imagenet_features,
    imagenet_scores,
    loaded,
    patches_of,
    ridge_scores,
)
from benchmarks.setting import THREADS, machine
from verticals.medical.chest.attention import overlay
from verticals.medical.chest.model import ChestModel, packaged
from verticals.medical.vision.train import first_parameters


def classify() -> None:
    """AUC of each kind: tower, ImageNet features with a logistic regression, brightness at the centre prior, view."""
    films, _, said = loaded()
    scores = {
        "tower": said.scores_NK,
        "ImageNet + logistic": imagenet_scores(films),
        "ImageNet + our ridge": ridge_scores(films, imagenet_features(films.grey)),
        "centre prior": centre_prior(films),
    }
    for k, kind in enumerate(KINDS):
        y_N = films.labels_NK[:, k]
        print(f"{kind}: {int(y_N.sum())} of {len(y_N)} films")
        for name, score_NK in scores.items():
            figure = with_interval(auc_of(films, y_N, score_NK[:, k]), films.group_N)
            apart = [
                auc_within(y_N[films.set_N == s], score_NK[films.set_N == s, k], films.set_N[films.set_N == s])
                for s in range(len(SETS))
            ]
            print(
                f"  {name:20s} AUC {told(figure)}; "
                + ", ".join(f"{s} {a:.3f}" for s, a in zip(SETS, apart, strict=True))
            )
        for name in list(scores)[1:]:
            gain = _difference(films, y_N, scores["tower"][:, k], scores[name][:, k])
            print(f"  tower less {name:20s} {told(gain)}")
        seen = ~np.isnan(films.view_N)
        print(f"  AP view alone, {SETS[0]}: AUC {auc_within(y_N[seen], films.view_N[seen], films.set_N[seen]):.3f}")


def _difference(films: Films, y_N: Floats, one_N: Floats, other_N: Floats) -> tuple[float, float, float]:
    one, other = auc_of(films, y_N, one_N), auc_of(films, y_N, other_N)
    return with_interval(lambda rows: one(rows) - other(rows), films.group_N)


def pretraining() -> None:
    """What training the tower on children's films adds: the same heads on a tower that was never trained."""
    films, _, said = loaded()
    scores = {
        "trained": said.scores_NK,
        "random": held_out(films, patches_of(films, first_parameters(SIZE, 0))).scores_NK,
        "pixels": ridge_scores(films, films.pixels(32).reshape(len(films), -1).astype(float)),
    }
    for k, kind in enumerate(KINDS):
        y_N = films.labels_NK[:, k]
        for other in ("random", "pixels"):
            gain = _difference(films, y_N, scores["trained"][:, k], scores[other][:, k])
            print(f"  {kind}: trained tower less {other}, AUC {told(gain)}")


def calibration() -> None:
    """ECE and the coverage of conformal sets by class, both fitted on the other folds."""
    films, _, said = loaded()
    for k, kind in enumerate(KINDS):
        print(
            f"{kind}: "
            + "; ".join(f"{name} {told(f)}" for name, f in calibrated(films, said.scores_NK[:, k], k).items())
        )


def latency() -> None:
    """One film of 2,048 x 2,048: reading and its heatmap, with as many threads as the engine takes."""
    torch.set_num_threads(THREADS)
    model, draw = ChestModel.load(packaged()), np.random.default_rng(0)
    film = np.kron(draw.integers(0, 255, (64, 64)), np.ones((32, 32))).astype(np.uint8)
    taken = []
    for _ in range(60):
        begun = time.perf_counter()
        overlay(film, model.read(film).attention)
        taken.append(time.perf_counter() - begun)
    p50, p95 = np.percentile(taken[10:], (50, 95))
    print(f"{machine()}: p50 {p50:.3f} s, p95 {p95:.3f} s")


COMMANDS: dict[str, Callable[[], None]] = {
    "classify": classify,
    "pretraining": pretraining,
    "boxes": films_places.boxes,
    "heatmap": films_places.heatmap,
    "calibration": calibration,
    "gate": films_gate.main,
    "quality": films_quality.main,
    "children": films_children.main,
    "ship": films_ship.main,
    "latency": latency,
}


def main(what: list[str]) -> None:
    """Run the commands that are named."""
    if not what or set(what) - set(COMMANDS):
        raise SystemExit(f"python -m benchmarks.films WHAT, one of: {', '.join(COMMANDS)}")
    torch.set_num_threads(1)
    for name in what:
        print(f"## {name}")
        COMMANDS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
