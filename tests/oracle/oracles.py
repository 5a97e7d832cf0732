"""Both sides of a comparison: our logits, transformers' logits, and a random model that exercises every part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core_model.checkpoint import TensorFiles
from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Precision, Weights


def our_logits(config: dict[str, Any], tensors: Any, token_ids: list[int], precision: Precision = "fp32") -> Tensor:
    """Logits of our decoder."""
    decoder = Decoder(parse_config(config), Weights(tensors, precision=precision))
    return decoder.logits(decoder(torch.tensor(token_ids), [Segment(len(token_ids))]))


@torch.no_grad()
def their_logits(model: Any, token_ids: list[int]) -> Tensor:
    """Logits of a transformers model."""
    logits: Tensor = model(torch.tensor([token_ids])).logits[0].float()
    return logits


def save_and_read(model: Any, folder: Path) -> tuple[dict[str, Any], TensorFiles]:
    """A transformers model as its saved checkpoint."""
    model.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text()), TensorFiles(folder)


def randomize(model: Any, seed: int) -> Any:
    """Weights large enough that every part of the model matters; norms around 1."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 1.0 if name.endswith(("sinks", "bias")) else 0.2)
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.normal_(0, 0.3)
    return model.eval()
