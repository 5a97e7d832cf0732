"""Where opacities are: boxes and heatmaps against those that radiologists drew, beside a centre prior."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.films_data import Box, Films, Floats
from benchmarks.films_figures import told, with_interval
from benchmarks.films_models import PRIOR_CELLS, SIZE, HeldOut, box_prior, loaded, patches_of
from verticals.medical.chest.boxes import BoxRule, find_boxes, highest
from verticals.medical.vision.train import first_parameters

RULES = [BoxRule(floor=0.0, reach=reach) for reach in (0.4, 0.5, 0.6, 0.7, 0.8)]
FLOORS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
LEAST_OVERLAP = 0.3
SEEDS = range(5)
Rows = NDArray[np.int64]
Point = tuple[float, float]


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    both = max(width, 0) * max(height, 0)
    return both / (sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - both)


def inside(point: Point, boxes: tuple[Box, ...]) -> bool:
    """Whether one of the boxes holds the point."""
    return any(left <= point[0] <= right and top <= point[1] <= bottom for left, top, right, bottom in boxes)


def drawn(films: Films) -> Rows:
    """Films with boxes."""
    return np.flatnonzero([bool(boxes) for boxes in films.boxes])


def best_box(lesion_GG: Floats, rule: BoxRule) -> Box:
    """The box of the highest peak."""
    box = find_boxes(lesion_GG, rule)[0]
    return box.left, box.top, box.right, box.bottom


def first_hits(films: Films, maps: Floats, rows: Rows, rule: BoxRule) -> NDArray[np.bool_]:
    """For each film whether its best box overlaps one that was drawn by `LEAST_OVERLAP` at least."""
    found = [(best_box(maps[row], rule), films.boxes[row] or ()) for row in rows]
    return np.array([max(overlap(box, true) for true in trues) >= LEAST_OVERLAP for box, trues in found])


def choose_reach(films: Films, maps: Floats, rows: Rows) -> BoxRule:
    """The rule with most hits on these films."""
    return max(RULES, key=lambda rule: float(first_hits(films, maps, rows, rule).mean()))


def logit(share: Floats) -> Floats:
    """Of shares of the highest."""
    scaled = np.clip(share / share.max() * 0.9, 1e-6, 0.999)
    return np.asarray(np.log(scaled / (1 - scaled)))


def prior_maps(films: Films) -> Floats:
    """Of the training folds' boxes, for each film, (N, cells, cells)."""
    prior = np.zeros((len(films), PRIOR_CELLS, PRIOR_CELLS))
    for train_rows, rows in films.folds:
        prior[rows] = logit(box_prior(films, train_rows))
    return prior


def lesion_maps(said: HeldOut) -> Floats:
    """Held-out logits of opacities, (N, G, G)."""
    return said.lesion_NP.reshape(-1, SIZE.grid, SIZE.grid)


def boxes() -> None:
    """Hit rate of the best box; the rule is chosen on the other folds' films."""
    films, _, said = loaded()
    rows, lesion = drawn(films), lesion_maps(said)
    num = sum(len(films.boxes[row] or ()) for row in rows)
    print(f"{len(rows)} films with boxes, {num} boxes; a hit: IoU >= {LEAST_OVERLAP}")
    hits: dict[str, Floats] = {}
    for name, maps in {"tower": lesion, "centre prior": prior_maps(films)}.items():
        hit, center = np.zeros(len(films)), np.zeros(len(films))
        for train_rows, test_rows in films.folds:
            known, here = np.intersect1d(train_rows, rows), np.intersect1d(test_rows, rows)
            rule = choose_reach(films, maps, known)
            hit[here] = first_hits(films, maps, here, rule)
            for row in here:
                left, top, right, bottom = best_box(maps[row], rule)
                center[row] = inside(((left + right) / 2, (top + bottom) / 2), films.boxes[row] or ())
        hits[name] = hit[rows]
        for what, values in (("hit", hit), ("centre inside", center)):
            print(f"  {name:13s} {what}: {told(with_interval(_mean(values[rows]), films.group_N[rows]))}")
    gain = hits["tower"] - hits["centre prior"]
    print(f"  tower less centre prior, hit: {told(with_interval(_mean(gain), films.group_N[rows]))}")
    _print_floors(films, lesion)


def _print_floors(films: Films, maps: Floats) -> None:
    """What a floor of the peak keeps and lets through: held-out films, all of them."""
    rows, clear = drawn(films), np.flatnonzero([boxes == () for boxes in films.boxes])
    rule = choose_reach(films, maps, rows)
    for floor in FLOORS:
        kept = BoxRule(floor, rule.reach)
        num = np.mean([len(find_boxes(maps[row], kept)) for row in clear])
        pairs = [(true, find_boxes(maps[row], kept)) for row in rows for true in films.boxes[row] or ()]
        met = np.mean([any(inside(box.center, (true,)) for box in found) for true, found in pairs])
        print(f"  floor {floor}: {met:.2f} of the drawn boxes met, {num:.2f} boxes a film without opacity")


def _mean(values: Floats) -> Callable[[Rows], float]:
    return lambda rows: float(values[rows].mean())


def heatmap() -> None:
    """The pointing game (Zhang 2018, arXiv:1608.00507), and the same with random weights (Adebayo 2018, 1810.03292)."""
    films, _, said = loaded()
    rows = drawn(films)
    pointed = {
        "heatmap": pointing(films, said.lesion_NP, rows),
        "centre prior": pointing(films, prior_maps(films), rows),
        "random weights": np.mean([pointing(films, random_maps(films, said, seed), rows) for seed in SEEDS], axis=0),
    }
    for name, hit in pointed.items():
        print(f"  {name:15s} {told(with_interval(_mean(hit), films.group_N[rows]))}")
    for other in ("centre prior", "random weights"):
        gain = with_interval(_mean(pointed["heatmap"] - pointed[other]), films.group_N[rows])
        print(f"  heatmap less {other}: {told(gain)}")


def random_maps(films: Films, said: HeldOut, seed: int) -> Floats:
    """Maps by a tower that was never trained and shuffled heads, of films with boxes; zeros for the others."""
    draw, rows, heads = np.random.default_rng(seed), drawn(films), said.heads[seed % len(said.heads)]
    lesion_X, lesion_bias_N = draw.permutation(heads.lesion_X), draw.permutation(heads.lesion_bias_N)
    shuffled = replace(heads, lesion_X=lesion_X, lesion_bias_N=lesion_bias_N)
    maps_NP = np.zeros_like(said.lesion_NP)
    maps_NP[rows] = shuffled.lesion_logits(patches_of(films.only(rows), first_parameters(SIZE, seed)))
    return maps_NP


def pointing(films: Films, maps: Floats, rows: Rows) -> Floats:
    """1 for each of these films whose map, (N, G * G) or (N, G, G), is highest inside a drawn box."""
    found = maps[rows].reshape(len(rows), *[round(np.sqrt(maps[0].size))] * 2)
    pairs = zip(found, rows, strict=True)
    return np.array([float(inside(highest(map_GG), films.boxes[row] or ())) for map_GG, row in pairs])
