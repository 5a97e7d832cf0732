"""Fundus photographs: every figure of its page.

    TRIVIUM_DATA=... python -m benchmarks.fundus WHAT      WHAT: vessels, quality, lesions, side, grading

Limits were chosen on DRIVE and every fourth photograph of DIARETDB1; figures are measured on others, unless they are
of a model that is trained in folds. 95 % intervals draw photographs, or patients where they are known.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from benchmarks.films_data import medical_data
from benchmarks.fundus_spoilt import SPOIL, spoil
from benchmarks.retinas import Painted, paint
from verticals.bootstrap import grouped_interval
from verticals.medical.fundus import training, vessel_training
from verticals.medical.fundus.filters import curvatures, lineness
from verticals.medical.fundus.landmarks import Landmarks, find_landmarks
from verticals.medical.fundus.lesions import KINDS, find_candidates
from verticals.medical.fundus.picture import DIAMETER, Colour, Floats, Mask, Retina, evened, find_field, to_retina
from verticals.medical.fundus.quality import grade_photograph
from verticals.medical.fundus.side import refusal
from verticals.medical.fundus.training import open_photograph
from verticals.medical.fundus.vessels import LineFilter
from verticals.medical.ranking import auc

MARKED = 2  # grades 2 and 3 are to be told from 0 and 1
SHOWN = 760  # pixels of the longer side at which photographs are spoilt
WIDTHS = {
    "microaneurysm": (4, 5, 6),
    "haemorrhage": (9, 14, 22),
    "hard_exudate": (5, 8, 12),
    "cotton_wool_spot": (18, 24),
}
FALSE_POSITIVES = (1.0, 5.0, 10.0)  # a photograph


def _silently(what: str, share: float | None = None) -> None:
    """No progress is told."""


def vessels() -> None:
    """Dice on DRIVE in five folds of its photographs, in its own pixels and field: the network beside two filters.

    Thresholds are of the photographs learned from, as its are. About fifty minutes of one core.
    """
    (pairs, names), recipe = drive(), vessel_training.Recipe()
    scores = {"network": vessel_training.held_out(pairs, _silently, recipe)}
    for name, answer in (("line filter", lineness), ("Frangi", frangi)):
        responses, made = [answer(pair.retina) for pair in pairs], np.zeros(len(pairs))
        for fold in range(recipe.folds):
            rows = [i for i in range(len(pairs)) if i % recipe.folds != fold]
            learned, said = [pairs[i] for i in rows], [responses[i] for i in rows]
            tried = np.quantile(np.concatenate(said), np.linspace(0.75, 0.96, 43)).tolist()
            threshold = vessel_training.best_threshold(learned, said, tried)
            for i in range(fold, len(pairs), recipe.folds):
                made[i] = pairs[i].dice(responses[i], threshold)
        scores[name] = made
    for name, each in scores.items():
        print(f"  {name}: Dice {told(vessel_training.mean_interval(each))}")
    gain = vessel_training.mean_interval(scores["network"] - scores["line filter"])
    print(f"  network less line filter {told(gain)}")
    print("  network:", "; ".join(f"{name} {d:.3f}" for name, d in zip(names, scores["network"], strict=True)))


def drive() -> tuple[list[vessel_training.Masked], list[str]]:
    """The twenty photographs that have a drawing, in the set's own fields of view, and their names."""
    folder = medical_data() / "drive" / "training"
    pairs = vessel_training.read_masks(folder, _silently)
    names = [path.name[:2] for path in sorted((folder / "images").glob("*"))]
    fields = [
        np.asarray(Image.open(folder / "mask" / f"{name}_training_mask.gif").convert("L")) > 127 for name in names
    ]
    return [replace(pair, field=field) for pair, field in zip(pairs, fields, strict=True)], names


def frangi(retina: Retina) -> Floats:
    """Vesselness (Frangi 1998) of dark lines, beta .5 and c half the largest norm."""
    green, best = evened(retina.green, retina.inside), np.zeros(retina.inside.shape)
    for sigma in (1.0, 1.5, 2.0, 3.0, 4.0):
        high, low = curvatures(green, sigma)
        norm = np.hypot(high, low)
        ratio = low / np.where(np.abs(high) < 1e-9, 1e-9, high)
        made = np.exp(-(ratio**2) / 0.5) * (1 - np.exp(-(norm**2) / (2 * (np.quantile(norm, 0.999) / 2) ** 2)))
        best = np.maximum(best, np.where(high > 0, made, 0))
    return best


def quality() -> None:
    """AUC of marked and severe defects against good and slight ones, on photographs that chose no limit."""
    draw, rows = np.random.default_rng(1), []
    for at, path in enumerate(_quality_paths()):
        photograph = _shown(path)
        for name in (None, *SPOIL):
            grade = 0 if name is None else int(draw.integers(1, 4))
            made = photograph if name is None else spoil(photograph, name, grade, draw)
            score, laplacian = quality_score(made), laplacian_variance(made)
            rows.append((at, name or "as it is", grade, -score, -laplacian))
    table = pd.DataFrame(rows, columns=["photograph", "defect", "grade", "ours", "laplacian"])
    for name in (*SPOIL, "all"):
        here = table if name == "all" else table[table["defect"].isin((name, "as it is"))]
        bad, groups = (here["grade"] >= MARKED).to_numpy(), here["photograph"].to_numpy()
        figures = [told(auc_interval(bad, here[c].to_numpy(float), groups)) for c in ("ours", "laplacian")]
        print(f"  {name:7s} n {len(here)}: AUC {figures[0]}, Laplacian variance {figures[1]}")
    good = table[table["defect"] == "as it is"]
    print(f"  of {len(good)} photographs as they are, {np.mean(good['ours'] < 0):.0%} are not rejected")


def _quality_paths() -> list[Path]:
    names = sorted((medical_data() / "diaretdb1").glob("*"))
    return [path for at, path in enumerate(names) if at % 4]


def _shown(path: Path) -> Colour:
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((SHOWN, SHOWN))
    return np.asarray(picture)


def quality_score(photograph: Colour) -> float:
    """Mean of the checks' worst and their mean, so that two photographs that both fail still differ."""
    from verticals.medical.quality import Limit, score

    checks = grade_photograph(photograph).checks
    each = [score(c.value, Limit(c.warn_at, c.reject_at, "")) for c in checks]
    return min(each) + 0.01 * float(np.mean(each)) if len(each) > 1 else 0.0


def laplacian_variance(photograph: Colour) -> float:
    """The usual measure of focus (Pech-Pacheco 2000), of the green channel."""
    from scipy import ndimage

    return float(ndimage.laplace(photograph[..., 1].astype(float)).var())


def lesions() -> None:
    """Sensitivity by width at false positives a photograph: one lesion at a time painted on DRIVE and EyePACS."""
    draw, hits, wrong = np.random.default_rng(2), [], []
    paths = [*sorted((medical_data() / "drive" / "training" / "images").glob("*"))[:10], *_eyepacs()]
    for path in paths:
        photograph = open_photograph(path)
        field = find_field(photograph)
        if field is None:
            continue
        retina = to_retina(photograph, field)
        base = np.clip(np.rint(retina.rgb * 255), 0, 255).astype(np.uint8)
        masks, landmarks = LineFilter().segment(retina), find_landmarks(retina)
        plain = find_candidates(retina, masks, landmarks, least_dark=3.0, least_bright=3.0)
        wrong += [(path.name, spot.kind in KINDS[:2], spot.score) for spot in plain]
        for kind in KINDS:
            for width in WIDTHS[kind]:
                planted = _plant(draw, kind, float(width), retina, landmarks)
                painted = base
                for lesion in planted:
                    painted = paint(painted, lesion, strength=draw.uniform(0.6, 1.0))
                seen = Retina(painted / 255 * retina.inside[..., None], retina.inside, retina.field)
                found = find_candidates(seen, LineFilter().segment(seen), landmarks, least_dark=3.0, least_bright=3.0)
                for lesion in planted:
                    near = [
                        s.score for s in found if np.hypot(s.column - lesion.column, s.row - lesion.row) < width / 2 + 2
                    ]
                    hits.append((path.name, kind, width, max(near, default=0.0)))
    spots = pd.DataFrame(wrong, columns=["photograph", "dark", "score"])
    table = pd.DataFrame(hits, columns=["photograph", "kind", "width", "score"])
    for kind in KINDS:
        mine = spots[spots["dark"] == (kind in KINDS[:2])]["score"].sort_values(ascending=False).to_numpy()
        for width in WIDTHS[kind]:
            rows = table[(table["kind"] == kind) & (table["width"] == width)]
            told_at = []
            for rate in FALSE_POSITIVES:
                at = min(int(rate * len(paths)), len(mine) - 1)
                scores = (rows["score"] > mine[at]).groupby(rows["photograph"]).mean()
                told_at.append(f"{rate:g}: {told(vessel_training.mean_interval(scores.to_numpy()))}")
            print(
                f"  {kind} {width} px, n {len(rows)}: sensitivity at false positives a photograph {'; '.join(told_at)}"
            )


def _plant(draw: np.random.Generator, kind: str, width: float, retina: Retina, at: Landmarks | None) -> list[Painted]:
    """Eight places in the field, apart from each other and from the disc."""
    made: list[Painted] = []
    while len(made) < 8:
        radius, angle = DIAMETER / 2 * 0.85 * np.sqrt(draw.random()), draw.uniform(0, 2 * np.pi)
        column, row = (float(len(retina.inside) / 2 + radius * f(angle)) for f in (np.cos, np.sin))
        apart = all(np.hypot(column - o.column, row - o.row) > 45 for o in made)
        off_disc = at is None or np.hypot(column - at.disc[0], row - at.disc[1]) > 80
        if apart and off_disc and retina.inside[int(row), int(column)]:
            made.append(Painted(kind, column, row, width))  # type: ignore[arg-type]
    return made


def _eyepacs() -> list[Path]:
    return sorted((medical_data() / "eyepacs-5").glob("*"))


def side() -> None:
    """Whether the disc's side is the file name's: EyePACS, evaluated only; some photographs there are turned."""
    folder = medical_data() / "eyepacs1098-graded"
    labels = pd.read_csv(folder / "labels.csv")
    rows = [(path.stem.split("_")[1], path.stem.split("_")[0], _landmarks(path), np.nan) for path in _eyepacs()]
    for record in labels.to_dict("records"):
        path = folder / "images" / record["file"]
        rows.append((path.stem.split("_")[1], record["group"], _landmarks(path), record["eyeq_quality"]))
    told_right = np.array([at is not None and at.eye == eye for eye, _, at, _ in rows])
    answered = np.array([at is not None and at.eye is not None for _, _, at, _ in rows])
    groups, graded = np.array([group for _, group, _, _ in rows]), np.array([q for *_, q in rows], float)
    for name, here in (("all", answered), ("EyeQ good or usable", answered & (graded <= 1))):
        print(f"  {name}: n {here.sum()}, right side {told(share_interval(told_right[here], groups[here]))}")
    passed = np.array([refusal(eye, at) == "" for eye, _, at, _ in rows])  # type: ignore[arg-type]
    wrong = np.array([refusal("left" if eye == "right" else "right", at) == "" for eye, _, at, _ in rows])
    print(f"  no side told for {1 - answered.mean():.1%}; with the true side {passed.mean():.1%} pass, with the wrong "
          f"one {wrong.mean():.1%}")  # fmt: skip


def _landmarks(path: Path) -> Landmarks | None:
    photograph = open_photograph(path)
    field = find_field(photograph)
    return find_landmarks(to_retina(photograph, field)) if field else None


def grading() -> None:
    """`train-dr` in five folds of patients on graded EyePACS; research only, nothing of it is kept."""
    from sklearn.model_selection import StratifiedGroupKFold

    folder = medical_data() / "eyepacs1098-graded"
    graded = training.read_folder(folder, LineFilter(), _silently)
    given = np.zeros(len(graded.grade_N), np.int64)
    splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for rows, held in splitter.split(graded.features_NF, graded.grade_N, graded.patient_N):
        head = training.fit(graded.features_NF[rows], graded.grade_N[rows])
        given[held] = [head.grade(row) for row in graded.features_NF[held]]
    kappa = training.with_interval(training.quadratic_kappa, graded.grade_N, given, graded.patient_N)
    print(f"  n {len(given)}, {graded.skipped} without a field: quadratic kappa {told(kappa)}")
    refers = training.with_interval(_referable, graded.grade_N, given, graded.patient_N)
    print(f"  sensitivity for grade 2 and above {told(refers)}")


def _referable(true_N: NDArray[np.int64], given_N: NDArray[np.int64]) -> float:
    return float((given_N[true_N >= 2] >= 2).mean()) if (true_N >= 2).any() else 0.0


def auc_interval(bad_N: Mask, score_N: Floats, group_N: NDArray[np.int64]) -> list[float]:
    """AUC and its 95 % interval, low and high, by drawing photographs."""
    label_N = bad_N.astype(np.float64)
    interval = grouped_interval(lambda rows: auc(label_N[rows], score_N[rows]), group_N)
    return [auc(label_N, score_N), *interval]


def share_interval(right_N: Mask, group_N: NDArray[np.str_]) -> list[float]:
    """Share and its 95 % interval, by drawing patients."""
    return training.with_interval(lambda _true, given: float(given.mean()), right_N * 1, right_N * 1, group_N)


def told(figure: list[float]) -> str:
    """Value (low to high)."""
    return f"{figure[0]:.3f} ({figure[1]:.3f} to {figure[2]:.3f})"


WHAT: dict[str, Callable[[], None]] = {f.__name__: f for f in (vessels, quality, lesions, side, grading)}


def main() -> None:
    """Print the figures that are asked for."""
    for name in sys.argv[1:] or [f"none of {', '.join(WHAT)}"]:
        if name not in WHAT:
            raise SystemExit(f"WHAT: must be of {', '.join(WHAT)}")
        print(name, flush=True)
        WHAT[name]()


if __name__ == "__main__":
    main()
