"""What is read off the tower's patches: a score of each kind of finding, and where an opacity is.

Both are ridge regressions, solved at once (Hoerl and Kennard 1970): some hundreds of patients are too few to train a
network on. Ignores the tower.
Shapes: B films, N patches, X numbers a patch, F = N * X, K kinds, G patches a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from verticals.medical.uncertainty import fit_logistic

Floats = NDArray[np.floating[Any]]

_LEAST_SPREAD = 0.2  # of a number, as a share of the mean spread: what hardly varies must not get a giant weight
_LESION_PENALTY = 1.0


@dataclass(frozen=True)
class FilmHeads:
    """Linear in the patches.

    Attributes:
        evidence_KF: Weights of each kind.
        bias_K: Score of the mean film.
        mean_F: The mean film.
        lesion_X: Weights of a patch's own numbers, then of those of its mirror image.
        lesion_bias_N: What the place alone says.
    """

    evidence_KF: Floats
    bias_K: Floats
    mean_F: Floats
    lesion_X: Floats
    lesion_bias_N: Floats

    @classmethod
    def fit(cls, patches_BNX: Floats, labels_BK: Floats, lesions_BN: Floats, *, penalty: float) -> Self:
        """Fit to films.

        Args:
            labels_BK: 0 or 1.
            lesions_BN: Share of each patch in a box; NaN in films where nobody drew any.
            penalty: Of the scores' ridge.
        """
        fitted = fit_ridge(patches_BNX.reshape(len(patches_BNX), -1), labels_BK, penalty=penalty)
        known = ~np.isnan(lesions_BN).any(1)
        lesion_X, lesion_bias_N = _fit_lesion(patches_BNX[known], lesions_BN[known])
        return cls(*fitted, lesion_X, lesion_bias_N)

    def scores(self, patches_BNX: Floats) -> Floats:
        """Of each film and kind, (B, K)."""
        differs_BF = patches_BNX.reshape(len(patches_BNX), -1) - self.mean_F
        return np.asarray(differs_BF @ self.evidence_KF.T + self.bias_K)

    def lesion_logits(self, patches_BNX: Floats) -> Floats:
        """Logit that each patch lies in an opacity's box, (B, N)."""
        return np.asarray(with_mirror(patches_BNX) @ self.lesion_X + self.lesion_bias_N)


def fit_ridge(features_BF: Floats, targets_BK: Floats, *, penalty: float) -> tuple[Floats, Floats, Floats]:
    """Weights (K, F), the targets' means (K,), and the features' means (F,): target = bias + weight . (x - mean).

    Solved in its dual form, for F is larger than B; `penalty` is that of features as `center_and_scale` makes them.
    """
    mean_F, scale_F = center_and_scale(features_BF)
    x_BF, bias_K = (features_BF - mean_F) / scale_F, targets_BK.mean(0)
    dual_BK = np.linalg.solve(x_BF @ x_BF.T + penalty * np.eye(len(x_BF)), targets_BK - bias_K)
    return dual_BK.T @ x_BF / scale_F, bias_K, mean_F


def center_and_scale(features_BF: Floats) -> tuple[Floats, Floats]:
    """What to take from features and divide them by, so that each has the same spread and a film's squares sum to 1."""
    spread_F = features_BF.std(0)
    scale_F = np.maximum(spread_F, _LEAST_SPREAD * spread_F.mean()) * np.sqrt(features_BF.shape[1])
    return features_BF.mean(0), scale_F


def with_mirror(patches_BNX: Floats) -> Floats:
    """Each patch's numbers beside those of its mirror image, (B, N, 2 X): one lung is the measure of the other."""
    grid = int(np.sqrt(patches_BNX.shape[1]))
    square = patches_BNX.reshape(len(patches_BNX), grid, grid, -1)
    return np.concatenate((patches_BNX, square[:, :, ::-1].reshape(patches_BNX.shape)), -1)


def _fit_lesion(patches_BNX: Floats, lesions_BN: Floats) -> tuple[Floats, Floats]:
    """Ridge on the numbers beside the mean of the place, then a logistic curve over its result."""
    num, patches, _ = patches_BNX.shape
    numbers = with_mirror(patches_BNX)
    place_N, mean_NX = lesions_BN.mean(0), numbers.mean(0)
    x_PX = (numbers - mean_NX).reshape(num * patches, -1)
    scale_X = np.maximum(x_PX.std(0), _LEAST_SPREAD * x_PX.std())
    x_PX = x_PX / scale_X
    gram_XX = x_PX.T @ x_PX / len(x_PX) + _LESION_PENALTY * np.eye(x_PX.shape[1])
    weight_X = np.linalg.solve(gram_XX, x_PX.T @ (lesions_BN - place_N).ravel() / len(x_PX)) / scale_X
    share_BN = numbers @ weight_X + (place_N - mean_NX @ weight_X)
    slope, offset = fit_logistic(share_BN.ravel(), lesions_BN.ravel())
    return slope * weight_X, slope * (place_N - mean_NX @ weight_X) + offset
