"""The trained sequence model as files: encoder and head. Ignores training; safetensors and JSON, never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load as parse_safetensors
from safetensors.torch import save as to_safetensors

from verticals.contract import ModelRegistry, Unavailable
from verticals.finance.histories.encoder import EncoderConfig, EventEncoder
from verticals.finance.histories.head import SequenceHead

SEQUENCE = "finance.sequence"  # in the registry
ENCODER, CONFIG, HEAD = "encoder.safetensors", "encoder.json", "head.json"


@dataclass(frozen=True)
class SequenceModel:
    """What makes vectors of histories, and the term that reads them beside the feature view.

    Attributes:
        encoder_id: Identity of the encoder's weights: vectors of different encoders are never compared.
    """

    version: str
    encoder: EventEncoder
    head: SequenceHead
    encoder_id: str


def to_files(encoder: EventEncoder, head: SequenceHead) -> dict[str, bytes]:
    """For the registry."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in encoder.state_dict().items()}
    return {
        ENCODER: to_safetensors(tensors),
        CONFIG: (json.dumps(encoder.describe(), indent=1, sort_keys=True) + "\n").encode(),
        HEAD: head.to_json(),
    }


def from_files(version: str, files: Mapping[str, Path]) -> SequenceModel:
    """The inverse of `to_files`.

    Raises:
        Unavailable: the model was trained on another vocabulary of events than this version's.
    """
    content = json.loads(files[CONFIG].read_bytes())
    sizes = {name: value for name, value in content.items() if name != "words"}
    encoder = EventEncoder(EncoderConfig(**sizes), seed=0)
    if json.loads(json.dumps(encoder.describe())) != content:
        raise Unavailable(
            "knows other kinds of events than this version", field=SEQUENCE, value=version, remedy="Train it again."
        )
    weights = files[ENCODER].read_bytes()
    encoder.load_state_dict(parse_safetensors(weights))
    head = SequenceHead.from_json(files[HEAD].read_bytes())
    return SequenceModel(version, encoder.eval(), head, encoder_id(weights))


def encoder_id(weights: bytes) -> str:
    """What `SequenceModel.encoder_id` is, of the bytes of `ENCODER`."""
    return f"encoder@{hashlib.sha256(weights).hexdigest()[:12]}"


def load_sequence(registry: ModelRegistry) -> SequenceModel | None:
    """The active version; None when none is registered.

    Raises:
        Unavailable: a file is missing, changed, or of another vocabulary.
    """
    found = registry.load(SEQUENCE)
    if found is None:
        return None
    card, files = found
    return from_files(f"{card.name}@{card.version}", files)
