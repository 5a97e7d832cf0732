"""MPNet against transformers' own class, and what is refused of a folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from tokenizers import Tokenizer, models
from transformers import MPNetConfig, MPNetForMaskedLM, MPNetModel

from retrieval import mpnet
from retrieval.bert import BertEncoder
from retrieval.embed import read_encoder

CONFIG = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 300,
}


def test_states_equal_transformers_near_and_far_and_beside_padding() -> None:
    torch.manual_seed(0)
    config = MPNetConfig(**CONFIG)
    model = MPNetModel(config).eval()
    for parameter in model.parameters():  # fresh ones are too small for a bias to show
        torch.nn.init.normal_(parameter, std=0.3)
    ids_BT = torch.randint(3, 50, (2, 290))
    mask_BT = torch.arange(290) < torch.tensor([290, 9])[:, None]
    encoder = BertEncoder.from_pretrained(mpnet.as_bert(model.state_dict()), config.to_dict())
    with torch.no_grad():
        padded_BT = ids_BT.masked_fill(~mask_BT, config.pad_token_id)
        expected_BTD = model(padded_BT, attention_mask=mask_BT.long()).last_hidden_state

        torch.testing.assert_close(encoder.forward(ids_BT, mask_BT)[mask_BT], expected_BTD[mask_BT], atol=1e-5, rtol=0)
        unbiased = replace(encoder, weights={**encoder.weights, mpnet.BIAS: torch.zeros(32, 2)})
        assert (unbiased.forward(ids_BT, mask_BT) - expected_BTD)[mask_BT].abs().max() > 0.001


@pytest.mark.parametrize(
    ("kind", "weights", "told"),
    [
        ("roberta", {"roberta.embeddings.position_embeddings.weight": torch.ones(4, 2)}, "got 'roberta'"),
        ("mpnet", {"lm_head.bias": torch.ones(4)}, "must be a whole bert or mpnet"),
        ("bert", None, r"model\.safetensors of .* is damaged"),
    ],
)
def test_a_folder_of_anything_else_is_refused(
    tmp_path: Path, kind: str, weights: dict[str, torch.Tensor] | None, told: str
) -> None:
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "model.safetensors").write_bytes(save(weights) if weights else b"cut")

    with pytest.raises(ValueError, match=f"{told}.* Name the folder of a BERT or MPNet"):
        read_encoder(tmp_path)


def test_an_encoder_inside_a_larger_model_is_found(tmp_path: Path) -> None:
    model = MPNetForMaskedLM(MPNetConfig(**CONFIG))
    model.save_pretrained(tmp_path)
    Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))

    theirs = model.mpnet.encoder.layer[1].attention.attn.o.weight
    torch.testing.assert_close(read_encoder(tmp_path).weights["encoder.layer.1.attention.output.dense.weight"], theirs)
