"""A few-shot model as files, and what it reads in one image. Ignores versions, names and who may use it.

Two files: `few_shot.safetensors`, the change of the encoder, the line over it and the gate's statistics;
`few_shot.json`, the rest. The encoder is the packaged one, and its hash is part of the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from verticals.medical.fewshot.encoder import METHODS, Encoder, NoChange, Stems
from verticals.medical.fewshot.learning import Learned
from verticals.medical.fewshot.schemas import FewShotVersion
from verticals.medical.uncertainty import Answer, Calibration, Gate
from verticals.medical.vision.pictures import Grey, to_picture

TENSORS, FACTS = "few_shot.safetensors", "few_shot.json"
_CHANGE = "change."


@dataclass(frozen=True)
class Seen:
    """What a model makes of an image.

    Attributes:
        strangeness: Distance from its training images as a share of the gate's limit; above 1 the rest means nothing.
    """

    prob: float
    confidence_set: tuple[Answer, ...]
    strangeness: float


@dataclass(frozen=True)
class FewShotModel:
    """What was learned, calibrated and measured.

    Attributes:
        about: As it is listed; `version` is that of the files, and empty within them.
    """

    learned: Learned
    calibration: Calibration
    gate: Gate
    about: FewShotVersion
    encoder_sha256: str

    def read(self, encoder: Encoder, grey: Grey) -> Seen:
        """Read one image of (rows, columns), white highest."""
        stems = encoder.stems(to_picture(grey, encoder.tower.size.side)[None])
        prob = float(self.calibration.prob(self.learned.scores(encoder, stems))[0])
        (distance,) = self.gate.distance(strangeness_features(encoder, stems))
        return Seen(prob, self.calibration.confidence_set(prob), float(distance / self.gate.limit))

    def to_files(self) -> dict[str, bytes]:
        """The two files."""
        learned = self.learned
        tensors = {_CHANGE + name: tensor.contiguous() for name, tensor in learned.change.parameters.items()}
        tensors |= {"weight_F": learned.weight_F, "mean_F": learned.mean_F}
        arrays = {"gate.mean_D": self.gate.mean_D, "gate.whitening_DD": self.gate.whitening_DD}
        tensors |= {name: torch.from_numpy(np.ascontiguousarray(array)).float() for name, array in arrays.items()}
        facts = {
            "about": self.about.model_copy(update={"version": ""}).model_dump(mode="json"),
            "encoder_sha256": self.encoder_sha256,
            "bias": learned.bias,
            "calibration": self.calibration.to_json(),
            "gate_limit": self.gate.limit,
        }
        return {TENSORS: save(tensors), FACTS: (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode()}

    @classmethod
    def load(cls, files: Mapping[str, Path], version: str) -> FewShotModel:
        """Read what `to_files` made.

        Raises:
            ValueError: a missing or damaged file.
        """
        try:
            tensors, facts = load_file(files[TENSORS]), json.loads(files[FACTS].read_text("utf-8"))
            about = FewShotVersion.model_validate(facts["about"] | {"version": version})
            change = {
                name.removeprefix(_CHANGE): tensor for name, tensor in tensors.items() if name.startswith(_CHANGE)
            }
            mean_D, whitening_DD = (tensors[f"gate.{name}"].double().numpy() for name in ("mean_D", "whitening_DD"))
            return cls(
                learned=Learned(
                    METHODS[about.method].change(change), tensors["weight_F"], tensors["mean_F"], facts["bias"]
                ),
                calibration=Calibration(**facts["calibration"]),
                gate=Gate(mean_D, whitening_DD, facts["gate_limit"]),
                about=about,
                encoder_sha256=facts["encoder_sha256"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"files: no readable few-shot model in {TENSORS} and {FACTS}. Train again.") from error


def strangeness_features(encoder: Encoder, stems: Stems) -> NDArray[np.float64]:
    """What the gate measures, whatever the method: the mean patch of the encoder as it is, and the thumbnail."""
    with torch.inference_mode():
        mean_BX = encoder.patches(stems, NoChange({})).mean(1)
        return torch.cat((mean_BX, stems.thumbnail_BT), 1).double().numpy()
