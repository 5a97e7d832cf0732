"""Teaches and measures the quality check of films: real films, spoilt to a known grade. Ignores what films show.

Grade 2 and 3 (marked, severe) are to be told from 0 and 1 (as it is, slight). A patient's films stay in one fold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.films_data import Films, Floats, load
from benchmarks.films_figures import Rows, told, with_interval
from benchmarks.films_spoilt import SPOIL
from benchmarks.lineage import record
from verticals.medical import quality
from verticals.medical.defects import DEFECTS, DefectModel, expand, measures
from verticals.medical.ranking import auc

NUM_FILMS = 80
FALSE_ALARMS = 0.02  # of images that are good, by defect
MARKED = 2
PENALTY = 0.01
_LAPLACIAN = 2  # its place in the measures


@dataclass(frozen=True)
class Spoilt:
    """Rows: images. `defect_N` is -1 for films as they are."""

    measures_NM: Floats
    defect_N: NDArray[np.int64]
    grade_N: NDArray[np.int64]
    group_N: NDArray[np.int64]


def spoil_all(films: Films) -> Spoilt:
    """Each of `NUM_FILMS` films of 512 px as it is, and with each defect at each grade."""
    draw = np.random.default_rng(0)
    rows = draw.choice(np.flatnonzero(films.set_N == 0), NUM_FILMS, replace=False)
    made: list[tuple[Floats, int, int, int]] = []
    for row in rows:
        grey, patient = films.grey[row], int(films.group_N[row])
        made.append((measures(grey), -1, 0, patient))
        for d, name in enumerate(DEFECTS):
            made += [(measures(SPOIL[name](grey, grade, draw)), d, grade, patient) for grade in (1, 2, 3)]
    vectors, *rest = zip(*made, strict=True)
    return Spoilt(np.stack(vectors), *(np.array(column) for column in rest))


def teach(images: Spoilt, rows: Rows, card: dict[str, object]) -> DefectModel:
    """A logistic regression a defect, on the measures and their squares."""
    from sklearn.linear_model import LogisticRegression

    x_NM = expand(images.measures_NM[rows])
    mean_M, scale_M = x_NM.mean(0), x_NM.std(0) + 1e-9
    weight, bias = {}, {}
    for d, name in enumerate(DEFECTS):
        is_bad = (images.defect_N[rows] == d) & (images.grade_N[rows] >= MARKED)
        model = LogisticRegression(C=PENALTY, max_iter=500, class_weight="balanced")
        model.fit((x_NM - mean_M) / scale_M, is_bad)
        weight[name], bias[name] = model.coef_[0], float(model.intercept_[0])
    return DefectModel(mean_M, scale_M, weight, bias, card)


def held_out_scores(images: Spoilt) -> dict[str, Floats]:
    """Each defect's score of each image, by a model that did not see its patient."""
    from sklearn.model_selection import GroupKFold

    scores = {name: np.zeros(len(images.grade_N)) for name in DEFECTS}
    for train_rows, rows in GroupKFold(5).split(images.measures_NM, groups=images.group_N):
        model = teach(images, train_rows, {})
        x_NM = (expand(images.measures_NM[rows]) - model.mean_M) / model.scale_M
        for name in DEFECTS:
            scores[name][rows] = x_NM @ model.weight[name] + model.bias[name]
    return scores


def main() -> None:
    """Print AUC by defect and over all, beside Laplacian variance, and write the shipped weights."""
    images = spoil_all(load())
    scores, is_bad = held_out_scores(images), images.grade_N >= MARKED
    worst = np.max(list(scores.values()), axis=0)
    laplacian = -images.measures_NM[:, _LAPLACIAN]
    figures = {}
    for d, name in enumerate((*DEFECTS, "all")):
        here = np.flatnonzero((images.defect_N == d) | (images.defect_N == -1) | (name == "all"))
        ours, theirs = (_figure(is_bad, s, images.group_N, here) for s in (scores.get(name, worst), laplacian))
        print(f"  {name:9s} n {len(here)}: AUC {told(ours)}, Laplacian variance {told(theirs)}")
        figures[name] = [round(value, 4) for value in ours]
    card: dict[str, object] = {
        "name": "medical.film-defects",
        "licence": "Apache-2.0",
        "trained_on": f"{NUM_FILMS} films of NIH ChestX-ray14, spoilt on purpose (benchmarks/films_spoilt.py)",
        "recipe": "python -m benchmarks.films quality",
        "auc_marked_or_severe": figures,
        "limits": "Knows these five defects alone, as made; real ones look otherwise. Adults' frontal chest films.",
    }
    made = teach(images, np.arange(len(images.grade_N)), card)
    alarm = {name: float(np.quantile(score_N[~is_bad], 1 - FALSE_ALARMS)) for name, score_N in scores.items()}
    made = replace(made, bias={name: bias - alarm[name] for name, bias in made.bias.items()})
    stopped = np.mean([np.max([scores[name][is_bad] - alarm[name] for name in DEFECTS], axis=0) > 0])
    passed = np.mean([np.max([scores[name][~is_bad] - alarm[name] for name in DEFECTS], axis=0) <= 0])
    print(f"  at the shipped limits {stopped:.3f} of the marked and severe warn, {passed:.3f} of the others pass")
    (Path(quality.__file__).parent / "chest" / "defects.json").write_text(made.to_json(), "utf-8")
    record("verticals/medical/chest/defects.json")


def _figure(bad_N: NDArray[np.bool_], score_N: Floats, group_N: Rows, here: Rows) -> tuple[float, float, float]:
    """AUC; where low scores are bad, the sign that does better counts, in the baseline's favour."""
    labels, score = bad_N[here].astype(float), score_N[here]
    sign = 1.0 if auc(labels, score) >= 0.5 else -1.0
    return with_interval(lambda rows: auc(labels[rows], sign * score[rows]), group_N[here])


if __name__ == "__main__":
    main()
