"""A tiny random encoder with a whole-word tokenizer, written to a folder like the package's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from verticals.support.understanding.encoder import TextReader

VOCABULARY = "where is my refund order lamp please cancel thanks hello broken i want the parcel late money back"
CONFIG = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four layers of width 16; words it does not know are one token."""
    folder = tmp_path_factory.mktemp("encoder")
    _write_tokenizer(folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(_random_weights(), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def reader(encoder_dir: Path) -> TextReader:
    return TextReader(encoder_dir)


def _write_tokenizer(path: Path) -> None:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *VOCABULARY.split()])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(path))


def _random_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def matrix(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / shape[-1] ** 0.5

    weights = {
        "embeddings.word_embeddings.weight": matrix(4 + len(VOCABULARY.split()), 16),
        "embeddings.position_embeddings.weight": matrix(128, 16),
        "embeddings.token_type_embeddings.weight": matrix(2, 16),
    }
    shapes = {
        **{f"attention.self.{part}": (16, 16) for part in ("query", "key", "value")},
        "attention.output.dense": (16, 16),
        "intermediate.dense": (32, 16),
        "output.dense": (16, 32),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(4):
        at = f"encoder.layer.{layer}"
        norms += [f"{at}.attention.output.LayerNorm", f"{at}.output.LayerNorm"]
        for part, shape in shapes.items():
            weights[f"{at}.{part}.weight"], weights[f"{at}.{part}.bias"] = matrix(*shape), torch.zeros(shape[0])
    for norm in norms:
        weights[f"{norm}.weight"], weights[f"{norm}.bias"] = torch.ones(16), torch.zeros(16)
    return weights
