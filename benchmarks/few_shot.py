"""Few-shot findings: 50 labelled images x 20 draws, by linear probe, prompt tuning and adapter, beside raw pixels.

    TRIVIUM_DATA=... python -m benchmarks.few_shot TASK ...      TASK: one of those that it lists without

A draw takes 25 patients with and 25 without the finding to learn from, as many others to validate on, and measures on
the rest, at most 400 images. What is run is what the studio runs (`fewshot.training.train`). The recipe was settled on
the opacities of nih-cxr, whose figures are favourable for that; no other task was looked at before. brain-tumour-types
is for evaluation alone. Intervals of a mean are 95 % over draws: the draws share their images, so they say nothing of
other hospitals. Effusion and cardiomegaly are of too few patients here to learn, validate and measure.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch

from benchmarks.films_data import KINDS, SETS, Floats, load, medical_data, read_grey
from benchmarks.films_figures import Rows
from verticals.bootstrap import bootstrap_interval
from verticals.medical.chest.model import thumbnails
from verticals.medical.fewshot.encoder import PROBE, Encoder, Stems
from verticals.medical.fewshot.examples import Examples
from verticals.medical.fewshot.images import Scope
from verticals.medical.fewshot.model import FewShotModel, strangeness_features
from verticals.medical.fewshot.training import train
from verticals.medical.ranking import auc
from verticals.medical.vision.pictures import to_picture

DRAWS = 20
PATIENTS = 25  # of each class, to learn from, and as many to validate on
BATCH = 128
MOST_TESTED = 400  # images of everybody else, drawn at random where there are more
OTHERS = 100  # images that a gate is tried on
TUMOURS = ("glioma", "meningioma", "pituitary")
PIXELS = "pixels + logistic"
_CS = np.logspace(-4, 0, 5)


@dataclass(frozen=True)
class Task:
    """Images, and who has the finding."""

    pictures_NSS: np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
    labels_N: Floats
    group_N: np.ndarray[tuple[int], np.dtype[np.generic]]

    def seen(self, encoder: Encoder) -> Stems:
        """What the frozen stem makes of every image."""
        parts = [encoder.stems(part) for part in np.array_split(self.pictures_NSS, len(self.labels_N) // BATCH + 1)]
        return Stems(
            torch.cat([part.known_BNX for part in parts]),
            torch.cat([part.views_VBND for part in parts], 1),
            torch.cat([part.thumbnail_BT for part in parts]),
        )


def film_task(of: str, kind: str) -> Task:
    """A finding of one set of NIH's films."""
    films = load()
    films = films.only(np.flatnonzero(films.set_N == SETS.index(of)))
    return Task(films.pixels(64), films.labels_NK[:, KINDS.index(kind)], films.group_N)


def tumour_task(label: str) -> Task:
    """One of three tumours against the other two, in slices of MR; near copies count as one patient."""
    folder = medical_data() / "brain-tumour-types"
    table = pd.read_csv(folder / "labels.csv")
    pictures = np.stack([to_picture(read_grey(folder / "images" / name), 64) for name in table["file"]])
    return Task(pictures, np.asarray(table["label"] == label, np.float64), table["group"].to_numpy().astype(str))


TASKS: dict[str, Callable[[], Task]] = {
    "opacity": partial(film_task, SETS[0], "opacity"),
    "opacity-64px": partial(film_task, SETS[1], "opacity"),
    "abnormality-64px": partial(film_task, SETS[1], "abnormality"),
    **{label: partial(tumour_task, label) for label in TUMOURS},
}


def drawn(task: Task, seed: int) -> tuple[Examples, Rows]:
    """One image a patient to learn from and to validate on, and the rows of everybody else."""
    draw = np.random.default_rng(seed)
    sides: dict[int, str] = {}
    seen: set[object] = set()
    for label in (1, 0):
        taken: list[int] = []
        for row in draw.permutation(np.flatnonzero(task.labels_N == label)):
            if len(taken) < 2 * PATIENTS and task.group_N[row] not in seen:
                seen.add(task.group_N[row])
                taken.append(int(row))
        sides |= {row: "train" if i < PATIENTS else "validation" for i, row in enumerate(taken)}
    rows = np.array(list(sides))
    examples = Examples(
        task.pictures_NSS[rows], task.labels_N[rows], task.group_N[rows].astype(str), np.array(list(sides.values())), ""
    )
    rest = np.flatnonzero(~np.isin(task.group_N, task.group_N[rows]))
    return examples, np.sort(draw.permutation(rest)[:MOST_TESTED])


def pixel_scores(examples: Examples, pictures_NSS: np.ndarray[tuple[int, int, int], np.dtype[np.float32]]) -> Floats:
    """A logistic regression on thumbnails of 16 x 16, its penalty chosen in five folds of the training images."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chooser = LogisticRegressionCV(
        Cs=_CS, cv=5, scoring="neg_log_loss", max_iter=500, l1_ratios=(0,), use_legacy_attributes=False
    )
    teaching = examples.only("train")
    model = make_pipeline(StandardScaler(), chooser).fit(thumbnails(teaching.pictures_BSS), teaching.labels_B)
    return np.asarray(model.decision_function(thumbnails(pictures_NSS)))


def measure(encoder: Encoder, task: Task, stems: Stems, seed: int, strangers: Stems) -> dict[str, float]:
    """One draw's figures on the images that were neither learned from nor validated on."""
    examples, rest = drawn(task, seed)
    begun = time.process_time()
    models = train(encoder, examples, Scope("MR", "ANY"), licence="evaluation", progress=lambda what, share: None)
    y_N, new = task.labels_N[rest], stems[torch.from_numpy(rest)]
    made = {"CPU seconds": time.process_time() - begun}
    made[f"AUC, {PIXELS}"] = auc(y_N, pixel_scores(examples, task.pictures_NSS[rest]))
    for model in models:
        scores_N, about = _scores(encoder, model, new), model.about
        made[f"AUC, {about.method}"] = auc(y_N, scores_N)
        made[f"enabled, {about.method}"] = float(not about.refusals)
        if about.method == PROBE:
            figure = about.figures.auc
            made["validation interval holds it"] = float(figure.low <= auc(y_N, scores_N) <= figure.high)
            prob_N = model.calibration.prob(scores_N)
            sets = [model.calibration.confidence_set(float(prob)) for prob in prob_N]
            for label, answer in enumerate(("absent", "present")):
                held = [answer in one for one, y in zip(sets, y_N, strict=True) if y == label]
                made[f"coverage, {answer}"] = float(np.mean(held))
            made["one answer"] = float(np.mean([len(one) == 1 for one in sets]))
            made["gate lets in, same kind"] = _passing(encoder, model, new[torch.arange(min(OTHERS, len(rest)))])
            made["gate lets in, other kind"] = _passing(encoder, model, strangers)
    return made


def _scores(encoder: Encoder, model: FewShotModel, stems: Stems) -> Floats:
    parts = torch.split(torch.arange(len(stems.thumbnail_BT)), BATCH)
    return np.concatenate([model.learned.scores(encoder, stems[rows]) for rows in parts])


def _passing(encoder: Encoder, model: FewShotModel, stems: Stems) -> float:
    return float(np.mean(model.gate.distance(strangeness_features(encoder, stems)) <= model.gate.limit))


def told(values: Sequence[float]) -> str:
    """Mean, its interval over draws, and the spread of single draws."""
    low, high = bootstrap_interval(values)
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}], single draws {min(values):.3f} to {max(values):.3f}"


def main(names: Sequence[str]) -> None:
    """Run the tasks that are named."""
    if not names or set(names) - set(TASKS):
        raise SystemExit(f"python -m benchmarks.few_shot TASK ..., some of: {', '.join(TASKS)}")
    torch.set_num_threads(1)
    encoder = Encoder.load()
    others = {is_film: TASKS["glioma" if is_film else "opacity"]() for is_film in (True, False)}
    other = {is_film: encoder.stems(task.pictures_NSS[:OTHERS]) for is_film, task in others.items()}
    for name in names:
        task, figures = TASKS[name](), defaultdict(list)
        stems = task.seen(encoder)
        print(f"## {name}: {int(task.labels_N.sum())} of {len(task.labels_N)} images")
        for seed in range(DRAWS):
            for what, value in measure(encoder, task, stems, seed, other[name not in TUMOURS]).items():
                figures[what].append(value)
            print(f"  draw {seed}", file=sys.stderr, flush=True)
        for what, values in figures.items():
            print(f"  {what}: {told(values)}")
            if what.startswith("AUC") and what != f"AUC, {PROBE}":
                gain = np.subtract(values, figures[f"AUC, {PROBE}"]).tolist()
                print(f"    less the probe: {told(gain)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
