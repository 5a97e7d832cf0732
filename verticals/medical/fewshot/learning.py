"""Learns a finding from few labelled images: one ridge for every method, and what changes the encoder below it.

The ridge is solved at once, so a patient can be left out in closed form: his left-out error chooses the ridge's
penalty, and prompts or adapters learn by its gradient (as the closed-form learners of Bertinetto 2019,
arXiv:1805.08136). Nothing here sees a validation image. Seeds are fixed: same images, same model.
Shapes: B images, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from verticals.bootstrap import rows_of_groups
from verticals.medical.chest.heads import center_and_scale
from verticals.medical.fewshot.encoder import METHODS, Change, Encoder, Stems

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
STEPS = 20
LEARNING_RATE = 5e-3
SEED = 20261130
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Learned:
    """A change of the encoder, and a line over what it then gives.

    Attributes:
        weight_F, mean_F: score = bias + weight . (features - mean).
    """

    change: Change
    weight_F: Tensor
    mean_F: Tensor
    bias: float

    @torch.inference_mode()
    def scores(self, encoder: Encoder, stems: Stems) -> Floats:
        """Of each image, (B,): the higher the likelier; about 0 to 1, and no probability."""
        features_BF = torch.cat(_parts(encoder, stems, self.change), 1)
        return np.asarray(((features_BF - self.mean_F) @ self.weight_F + self.bias).double().numpy())


def learn(encoder: Encoder, stems: Stems, labels_B: Floats, patient_B: NDArray[Any], *, method: str) -> Learned:
    """Learn by one of `METHODS`.

    Args:
        labels_B: 0 or 1.
        patient_B: Whose each image is.
    """
    chosen, draw = METHODS[method], torch.Generator().manual_seed(SEED)
    change = chosen.change(chosen.first(encoder.tower.size, draw))
    y_B = torch.from_numpy(labels_B).float()
    groups = [torch.from_numpy(rows) for rows in rows_of_groups(patient_B)]
    _teach(encoder, stems.unmirrored, change, y_B, groups)
    with torch.no_grad():
        parts = _parts(encoder, stems, change)
        penalty = _best_penalty(parts, y_B, groups)
        x_BF, mean_F, scale_F = _standardised(parts)
        weight_F = x_BF.T @ (_inverse(x_BF, penalty) @ (y_B - y_B.mean())) / scale_F
    return Learned(change, weight_F, mean_F, float(y_B.mean()))


def _teach(encoder: Encoder, stems: Stems, change: Change, y_B: Tensor, groups: Sequence[Tensor]) -> None:
    """Move the change's parameters down the left-out error, in place."""
    if not (learned := [tensor.requires_grad_() for tensor in change.parameters.values()]):
        return
    with torch.no_grad():
        penalty = _best_penalty(_parts(encoder, stems, change), y_B, groups)
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=0.0)
    for _ in range(STEPS):
        loss = left_out_error(_parts(encoder, stems, change), y_B, groups, penalty=penalty)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for tensor in learned:
        tensor.requires_grad_(False)


def _best_penalty(parts: Sequence[Tensor], y_B: Tensor, groups: Sequence[Tensor]) -> float:
    return min(PENALTIES, key=lambda penalty: float(left_out_error(parts, y_B, groups, penalty=penalty)))


def left_out_error(parts: Sequence[Tensor], y_B: Tensor, groups: Sequence[Tensor], *, penalty: float) -> Tensor:
    """Mean squared error of each image's score by the ridge of the other patients' images.

    With G = (X X' + penalty)^-1, the errors of a patient's images M are (G_MM)^-1 (G y)_M; centre and scale are those
    of all images.

    Args:
        parts: Features, each of (B, some of F); they weigh alike.
        groups: The rows of each patient.
    """
    inverse_BB = _inverse(_standardised(parts)[0], penalty)
    dual_B = inverse_BB @ (y_B - y_B.mean())
    errors = [torch.linalg.solve(inverse_BB[rows][:, rows], dual_B[rows]) for rows in groups]
    return torch.cat(errors).square().mean()


def _parts(encoder: Encoder, stems: Stems, change: Change) -> list[Tensor]:
    """What the ridge sees: what the encoder knows of every patch, and the image itself, small."""
    return [encoder.patches(stems, change).flatten(1), stems.thumbnail_BT]


def _standardised(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Features whose squares sum to 1 in a mean image, with their mean and scale, (F,)."""
    scales = [torch.from_numpy(center_and_scale(part.detach().numpy())[1]).float() for part in parts]
    features_BF, scale_F = torch.cat(list(parts), 1), torch.cat(scales) * len(parts) ** 0.5
    mean_F = features_BF.mean(0)
    return (features_BF - mean_F) / scale_F, mean_F, scale_F


def _inverse(x_BF: Tensor, penalty: float) -> Tensor:
    inverse_BB: Tensor = torch.linalg.inv(x_BF @ x_BF.T + penalty * torch.eye(len(x_BF)))
    return inverse_BB
