"""Trains the vessel network from a DRIVE-shaped folder and measures it on photographs left out. Ignores its use.

Seeds are fixed: same photographs, same weights. Shapes: P photographs, B patches of S pixels a side, I channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from core_model.weights import Weights
from verticals.bootstrap import bootstrap_interval
from verticals.contract import InvalidInput, NotFound, Progress
from verticals.medical.fundus.picture import SIDE, Colour, Mask, Retina, find_field, onto_photograph, to_retina
from verticals.medical.fundus.training import open_photograph
from verticals.medical.fundus.vessels import SIZE, VesselNet, evened_channels
from verticals.medical.vision.train import one_cycle
from verticals.medical.vision.unet import UNet, first_parameters
from verticals.origin import sha256_of_arrays

THRESHOLDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)  # that of the photographs learned from is taken
SEED = 0


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        folds: Of the photographs; those of each are measured by what learned from the others.
        side: Of a patch, pixels.
        batch_size: Patches a step.
    """

    folds: int = 5
    steps: int = 3000
    side: int = 96
    batch_size: int = 8
    learning_rate: float = 4e-3
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Masked:
    """A photograph at the working size, and what was drawn on it, in its own pixels.

    Attributes:
        vessels: (rows, columns).
        field: (rows, columns): where Dice is counted.
    """

    retina: Retina
    vessels: Mask
    field: Mask

    @cached_property
    def seen(self) -> NDArray[np.float32]:
        """By the network, (I, S, S)."""
        return evened_channels(self.retina)

    @cached_property
    def learned_vessels(self) -> Mask:
        """At the working size, (S, S)."""
        as_picture = np.repeat(self.vessels.astype(np.uint8)[..., None] * np.uint8(255), 3, axis=2)
        return to_retina(as_picture, self.retina.field).green > 0.5

    def dice(self, said: NDArray[np.float64], threshold: float = 0.5) -> float:
        """Of what was said at the working size, (S, S), in the photograph's own pixels."""
        return dice(self.on_field(said) > threshold, self.vessels[self.field])

    def on_field(self, said: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was said at the working size, (S, S), of the photograph's own pixels in the field, (pixels,)."""
        return onto_photograph(said, self.retina.field, self.vessels.shape)[self.field]


def read_masks(folder: Path, progress: Progress) -> list[Masked]:
    """Every photograph of `images/` with its mask of `1st_manual/`, whose names begin alike up to "_".

    Raises:
        NotFound: a folder or a mask is missing.
        InvalidInput: a photograph without a field, or a mask of another size.
    """
    photographs = sorted(path for path in (folder / "images").glob("*") if path.is_file())
    masks = {path.name.split("_")[0]: path for path in (folder / "1st_manual").glob("*")}
    if not photographs:
        raise NotFound("must hold images/ and 1st_manual/", field="DIR", value=str(folder))
    made = []
    for at, path in enumerate(photographs):
        progress("medical: looking at vessels", at / len(photographs))
        if (mask := masks.get(path.name.split("_")[0])) is None:
            raise NotFound("has no mask in 1st_manual/ whose name begins alike", field=path.name)
        made.append(masked(open_photograph(path), np.asarray(Image.open(mask).convert("L")) > 127, path.name))
    return made


def masked(photograph: Colour, vessels: Mask, name: str) -> Masked:
    """A photograph with what was drawn on it.

    Raises:
        InvalidInput: no field, or sizes that differ.
    """
    if vessels.shape != photograph.shape[:2]:
        raise InvalidInput("must have a mask of its own size", field=name)
    if (field := find_field(photograph)) is None:
        raise InvalidInput("must show a round field", field=name)
    retina = to_retina(photograph, field)
    inside = onto_photograph(retina.inside.astype(np.float64), field, vessels.shape) > 0.5
    return Masked(retina, vessels, inside)


def train_vessels(
    pairs: Sequence[Masked], progress: Progress, recipe: Recipe | None = None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Measure on photographs left out, then fit on all.

    Returns:
        (files, card) for the registry.
    Raises:
        InvalidInput: too few photographs.
    """
    recipe = recipe or Recipe()
    if len(pairs) < recipe.folds:
        raise InvalidInput(f"must hold at least {recipe.folds} photographs", field="DIR", value=len(pairs))
    scores = held_out(pairs, progress, recipe)
    card = {
        "trained_on": f"{len(pairs)} photographs with vessel masks.",
        "data": {"photographs and masks": sha256_of_arrays(a for pair in pairs for a in (pair.seen, pair.vessels))},
        "command": "trivium medical train-vessels DIR",
        "licence": "As the photographs'.",
        "recipe": f"trivium medical train-vessels; {recipe.folds} folds of photographs, {recipe.steps} steps each",
        "metrics": {"Dice": mean_interval(scores)},
        "limits": "Measured on the folder's own photographs, left out; other cameras were not seen. Research software.",
    }
    model = fit(pairs, recipe, lambda share: progress("medical: fitting the vessel model", share))
    return model.to_files(card), card


def held_out(pairs: Sequence[Masked], progress: Progress, recipe: Recipe) -> NDArray[np.float64]:
    """Dice of each photograph by what learned from the other folds', (P,)."""
    scores = np.zeros(len(pairs))
    for fold in range(recipe.folds):
        others = [pair for at, pair in enumerate(pairs) if at % recipe.folds != fold]
        model = fit(others, recipe, partial(_tell, progress, fold, recipe.folds))
        for at in range(fold, len(pairs), recipe.folds):
            scores[at] = pairs[at].dice(model.probability(pairs[at].retina), model.threshold)
    return scores


def _tell(progress: Progress, fold: int, num_folds: int, share: float) -> None:
    progress("medical: measuring the vessel model", (fold + share) / num_folds)


def mean_interval(scores: NDArray[np.float64]) -> list[float]:
    """Mean and 95 % interval, low and high, by drawing photographs with replacement."""
    return [float(scores.mean()), *bootstrap_interval(scores)]


def dice(found: Mask, true: Mask) -> float:
    """Overlap, 0-1: twice what both have over what each has."""
    total = int(found.sum() + true.sum())
    return 2 * float((found & true).sum()) / total if total else 1.0


def fit(pairs: Sequence[Masked], recipe: Recipe, progress: Callable[[float], None]) -> VesselNet:
    """A network that learned from these photographs: AdamW, one cycle, cross-entropy and Dice of random patches.

    Its threshold has the highest Dice on them.
    """
    learnable = _Learnable.of(pairs)
    parameters = {name: p.requires_grad_() for name, p in first_parameters(SIZE, SEED).items()}
    optimizer, schedule = one_cycle(
        list(parameters.values()), recipe.learning_rate, recipe.weight_decay, num_steps=recipe.steps
    )
    draw = torch.Generator().manual_seed(SEED)
    for step in range(recipe.steps):
        progress(step / recipe.steps)
        pixels_BISS, true_BSS, inside_BSS = learnable.patches(recipe, draw)
        logits_BSS = UNet(SIZE, Weights(parameters, precision="fp32"))(pixels_BISS)
        loss = _loss(logits_BSS[inside_BSS], true_BSS[inside_BSS])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model = VesselNet({name: p.detach() for name, p in parameters.items()})
    said = [model.probability(pair.retina) for pair in pairs]
    return replace(model, threshold=best_threshold(pairs, said, THRESHOLDS))


def best_threshold(pairs: Sequence[Masked], said: Sequence[NDArray[np.float64]], thresholds: Sequence[float]) -> float:
    """Of the highest mean Dice."""
    both = [(pair.on_field(one), pair.vessels[pair.field]) for pair, one in zip(pairs, said, strict=True)]
    return max(thresholds, key=lambda at: sum(dice(values > at, true) for values, true in both))


def _loss(logits_N: Tensor, true_N: Tensor) -> Tensor:
    """Cross-entropy, and Dice's own loss (Milletari 2016, arXiv:1606.04797), which minds how few the vessels are."""
    prob_N = logits_N.sigmoid()
    overlap = (2 * (prob_N * true_N).sum() + 1) / (prob_N.sum() + true_N.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits_N, true_N) + 1 - overlap


@dataclass(frozen=True)
class _Learnable:
    """The photographs as tensors: (P, I, S, S), (P, S, S) and (P, S, S)."""

    pixels: Tensor
    vessels: Tensor
    inside: Tensor

    @classmethod
    def of(cls, pairs: Sequence[Masked]) -> _Learnable:
        pixels = np.stack([pair.seen for pair in pairs])
        vessels = np.stack([pair.learned_vessels for pair in pairs])
        inside = np.stack([pair.retina.inside for pair in pairs])
        return cls(torch.from_numpy(pixels), torch.from_numpy(vessels).float(), torch.from_numpy(inside))

    def patches(self, recipe: Recipe, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Squares from anywhere, turned, mirrored, brighter or darker, of more or less contrast, made noisy."""
        cuts = []
        places = torch.randint(SIDE - recipe.side + 1, (recipe.batch_size, 2), generator=draw).tolist()
        which = torch.randint(len(self.pixels), (recipe.batch_size,), generator=draw).tolist()
        turns = torch.randint(8, (recipe.batch_size,), generator=draw).tolist()
        for p, (row, column), turn in zip(which, places, turns, strict=True):
            rows, columns = slice(row, row + recipe.side), slice(column, column + recipe.side)
            cut = torch.cat(
                (
                    self.pixels[p, :, rows, columns],
                    self.vessels[p, None, rows, columns],
                    self.inside[p, None, rows, columns],
                )
            )
            cuts.append(torch.rot90(cut.flip(2) if turn >= 4 else cut, turn % 4, (1, 2)))
        made = torch.stack(cuts)
        pixels, vessels, inside = made[:, :-2], made[:, -2], made[:, -1] > 0.5
        gain, offset = (torch.rand(2, *pixels.shape[:2], 1, 1, generator=draw) * 2 - 1).unbind()
        noise = torch.randn(pixels.shape, generator=draw) * 0.05
        return pixels * (1 + 0.2 * gain) + 0.2 * offset + noise, vessels, inside
