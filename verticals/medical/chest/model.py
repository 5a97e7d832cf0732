"""The chest-film model as files, and what it reads in one film. Ignores headers, findings' words and training.

Two files: `film.safetensors`, tower and heads in int8 and the gate's statistics; `card.json`, what it is, was trained
on and measured to do, and all that is not a tensor. Both may be replaced by a registered version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from core_model.quantize import quantize_int8
from core_model.weights import Weights
from verticals.medical.chest.boxes import BoxRule, FoundBox, find_boxes
from verticals.medical.chest.heads import FilmHeads
from verticals.medical.uncertainty import Answer, Calibration, Gate
from verticals.medical.vision.pictures import Frame, Grey, to_picture
from verticals.medical.vision.tower import Tower, TowerSize, unpacked

NAME = "medical.chest_film"
FOLDER = Path(__file__).parent
WEIGHTS, CARD = "film.safetensors", "card.json"
LOCALISED = "opacity"  # the kind that the lesion map shows
_THUMBNAIL = 16
_BATCH = 64
_SMALL = ("bias_K", "mean_F", "lesion_X", "lesion_bias_N")
_OURS = ("heads", "gate.")


@dataclass(frozen=True)
class KindReading:
    """One kind of finding in one film.

    Attributes:
        prob: Calibrated probability of presence.
        confidence_set: Answers that cannot be ruled out at 90 %.
    """

    prob: float
    confidence_set: tuple[Answer, ...]


@dataclass(frozen=True)
class FilmReading:
    """What the model makes of a film.

    Attributes:
        strangeness: Distance from the films that it learned from, as a share of the gate's limit; above 1 the rest
            means nothing.
        kinds: By kind.
        boxes: Of opacities, in shares of the square that `frame` lies in.
        attention: Probability that each patch lies in an opacity's box, (grid, grid), as shares of the highest.
    """

    strangeness: float
    kinds: Mapping[str, KindReading]
    boxes: tuple[FoundBox, ...]
    frame: Frame
    attention: NDArray[np.float64]


@dataclass(frozen=True)
class ChestModel:
    """The tower, the heads, and what was fitted to readings of films that they had not seen."""

    tower: Tower
    heads: FilmHeads
    kinds: tuple[str, ...]
    calibration: Mapping[str, Calibration]
    rule: BoxRule
    gate: Gate
    card: Mapping[str, Any]

    def read(self, grey: Grey) -> FilmReading:
        """Read one film of (rows, columns), white highest."""
        picture = to_picture(grey, self.tower.size.side)[None]
        patches_1NX = look(self.tower, picture)
        (distance,) = self.gate.distance(gate_features(patches_1NX, picture))
        grid = self.tower.size.grid
        kinds = {}
        for kind, score in zip(self.kinds, self.heads.scores(patches_1NX)[0], strict=True):
            prob = float(self.calibration[kind].prob(score))
            kinds[kind] = KindReading(prob, self.calibration[kind].confidence_set(prob))
        lesion_GG = self.heads.lesion_logits(patches_1NX)[0].reshape(grid, grid)
        boxes = tuple(find_boxes(lesion_GG, self.rule))
        lesion_GG = 1 / (1 + np.exp(-lesion_GG))
        return FilmReading(
            float(distance / self.gate.limit), kinds, boxes, Frame(*grey.shape), lesion_GG / lesion_GG.max()
        )

    def to_files(self, parameters: Mapping[str, Tensor]) -> dict[str, bytes]:
        """The two files; `parameters` are the tower's, fp32."""
        packed: dict[str, Tensor] = {}
        Tower(self.tower.size, Weights(parameters, precision="int8", packed=packed))
        q_KF, scale_K = quantize_int8([torch.from_numpy(self.heads.evidence_KF)])
        packed |= {"heads.evidence": q_KF, "heads.scale": scale_K}
        arrays = {f"heads.{name}": getattr(self.heads, name) for name in _SMALL}
        arrays |= {"gate.mean_D": self.gate.mean_D, "gate.whitening_DD": self.gate.whitening_DD}
        packed |= {name: torch.from_numpy(np.ascontiguousarray(array)).float() for name, array in arrays.items()}
        card = {
            **self.card,
            "size": asdict(self.tower.size),
            "kinds": self.kinds,
            "calibration": {kind: fitted.to_json() for kind, fitted in self.calibration.items()},
            "boxes": asdict(self.rule),
            "gate_limit": self.gate.limit,
        }
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        return {WEIGHTS: save(packed), CARD: text.encode()}

    @classmethod
    def load(cls, files: Mapping[str, Path], *, precision: Literal["int8", "fp32"] = "int8") -> ChestModel:
        """Read what `to_files` made.

        Args:
            precision: fp32, the same numbers, where gradients shall go through the tower.

        Raises:
            ValueError: a missing or damaged file.
        """
        try:
            tensors, card = load_file(files[WEIGHTS]), json.loads(files[CARD].read_text("utf-8"))
            size = TowerSize(**card["size"] | {"widths": tuple(card["size"]["widths"])})
            arrays = {name: tensors.pop(name).double().numpy() for name in list(tensors) if name[:5] in _OURS}
            evidence_KF = arrays["heads.evidence"] * arrays["heads.scale"][:, None]
            return cls(
                tower=Tower(size, Weights(unpacked(tensors) if precision == "fp32" else tensors, precision=precision)),
                heads=FilmHeads(evidence_KF, **{name: arrays[f"heads.{name}"] for name in _SMALL}),
                kinds=tuple(card["kinds"]),
                calibration={kind: Calibration(**fitted) for kind, fitted in card["calibration"].items()},
                rule=BoxRule(**card["boxes"]),
                gate=Gate(arrays["gate.mean_D"], arrays["gate.whitening_DD"], card["gate_limit"]),
                card=card,
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"files: no readable {NAME} model in {WEIGHTS} and {CARD}. Install again.") from error


def packaged() -> dict[str, Path]:
    """The files that are shipped."""
    return {name: FOLDER / name for name in (WEIGHTS, CARD)}


@torch.inference_mode()
def look(tower: Tower, pictures_BSS: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the tower knows of each patch, (B, N, X): mean of a picture and its mirror image, mirrored back."""
    grid, made = tower.size.grid, []
    for batch_BSS in torch.split(torch.from_numpy(np.ascontiguousarray(pictures_BSS)), _BATCH):
        seen, mirrored = (tower(pixels).patches_BNX for pixels in (batch_BSS, batch_BSS.flip(-1)))
        made.append((seen + mirrored.view(len(mirrored), grid, grid, -1).flip(2).flatten(1, 2)) / 2)
    return torch.cat(made).double().numpy()


def gate_features(patches_BNX: NDArray[np.float64], pictures_BSS: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the gate measures: the mean patch, and the picture itself at 16 x 16."""
    return np.concatenate((patches_BNX.mean(1), thumbnails(pictures_BSS)), 1).astype(np.float64)


def thumbnails(pictures_BSS: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each picture at 16 x 16, (B, 256)."""
    side = pictures_BSS.shape[-1] // _THUMBNAIL
    small = pictures_BSS.reshape(-1, _THUMBNAIL, side, _THUMBNAIL, side).mean((2, 4))
    return np.asarray(small.reshape(len(pictures_BSS), -1))
