"""Fits the shipped chest-film model to all films, calibrated on held-out ones, and writes it with its card."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from benchmarks.films_data import KINDS, Films, Floats
from benchmarks.films_figures import auc_of, calibrated, with_interval
from benchmarks.films_gate import ACCEPTED, features
from benchmarks.films_models import PRETRAINING, SIZE, HeldOut, fit_heads, loaded, pretrained
from benchmarks.films_places import FLOORS, choose_reach, drawn, lesion_maps
from benchmarks.lineage import record
from core_model.weights import Weights
from verticals.medical.chest.boxes import BoxRule, find_boxes
from verticals.medical.chest.model import NAME, ChestModel, packaged
from verticals.medical.uncertainty import Calibration, Gate
from verticals.medical.vision.tower import Tower

MOST_FALSE_BOXES = 0.5  # a film without opacity


def choose_rule(films: Films, said: HeldOut) -> BoxRule:
    """The lowest floor with at most so many boxes a film without opacity, on held-out maps."""
    maps, clear = lesion_maps(said), np.flatnonzero([boxes == () for boxes in films.boxes])
    reach = choose_reach(films, maps, drawn(films)).reach
    rules = [BoxRule(floor, reach) for floor in FLOORS]
    few = [r for r in rules if np.mean([len(find_boxes(maps[row], r)) for row in clear]) <= MOST_FALSE_BOXES]
    return (few or rules[-1:])[0]


def figures(films: Films, scores_NK: Floats) -> dict[str, dict[str, object]]:
    """Cross-validated, by kind, for the card: whether a kind is said depends on them."""
    told: dict[str, dict[str, object]] = {}
    for k, kind in enumerate(KINDS):
        y_N, score_N = films.labels_NK[:, k], scores_NK[:, k]
        auc = with_interval(auc_of(films, y_N, score_N), films.group_N)
        fitted = calibrated(films, score_N, k)
        told[kind] = {
            "present": int(y_N.sum()),
            "auc": [round(value, 4) for value in auc],
            "ece": round(fitted["ECE"][0], 4),
            "coverage_present": round(fitted["coverage present"][0], 4),
            "coverage_absent": round(fitted["coverage absent"][0], 4),
        }
    return told


def main() -> None:
    """Write `film.safetensors` and `card.json`."""
    (films, patches_NPX, said), parameters = loaded(), pretrained()
    tower = Tower(SIZE, Weights(parameters, precision="int8"))
    pairs = zip(KINDS, said.scores_NK.T, films.labels_NK.T, strict=True)
    model = ChestModel(
        tower=tower,
        heads=fit_heads(films, patches_NPX, np.arange(len(films))),
        kinds=KINDS,
        calibration={kind: Calibration.fit(score_N, y_N) for kind, score_N, y_N in pairs},
        rule=choose_rule(films, said),
        gate=Gate.fit(features(tower, films.grey), accepted=ACCEPTED),
        card=_card(films, said.scores_NK),
    )
    for name, content in model.to_files(parameters).items():
        packaged()[name].write_bytes(content)
        print(f"  {name}: {len(content):,} bytes")
    record("verticals/medical/chest/card.json")
    print(f"  {model.rule}, gate limit {model.gate.limit:.3f}")


def _card(films: Films, scores_NK: Floats) -> dict[str, object]:
    return {
        "name": NAME,
        "licence": "Apache-2.0",
        "trained_on": "tower: 4,708 films of children, PneumoniaMNIST train (Yang 2023, CC BY 4.0); heads: "
        f"{len(films)} films of {len(set(films.group_N))} patients of NIH ChestX-ray14 (Wang 2017; NIH asks to be "
        "credited and sets no other condition), boxes and readings of the RSNA 2018 challenge where there are any",
        "recipe": f"python -m benchmarks.films ship; {asdict(PRETRAINING)}",
        "measured_on": "held-out films of five folds, patients kept together; pairs within one set; 95 % by patient",
        "figures": figures(films, scores_NK),
        "use": "Research software, not a medical device.",
        "limits": "Frontal films of adults from one hospital, most labels mined from reports; 64 pixels a side, so "
        "nodules, small pneumothoraces, fractures, lines and tubes cannot be seen and are not looked for. Never tried "
        "on children, lateral films, other hospitals' patients or against outcomes. Heart size is judged from its "
        "look, not measured. A kind whose figures miss the rule of verticals/medical/chest/reader.py is never said. "
        "An absent finding says that this model did not see it, no more.",
    }
