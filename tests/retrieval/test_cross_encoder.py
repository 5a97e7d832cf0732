"""The cross-encoder against transformers' own class, on a small random model, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from retrieval.cross_encoder import CrossEncoder
from retrieval.documents import Hit

HITS = [
    Hit("p1", "d", "Returns", "", "a lamp can go back", 0.1, 0.2),
    Hit("p2", "d", "Returns", "Desks", "a desk " * 40, 0.1, 0.2),
    Hit("p3", "d", "", "", "lamp", 0.1, 0.2),
]
QUERY = "can a lamp go back"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertForSequenceClassification

    path = tmp_path_factory.mktemp("cross")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *("a", "lamp", "desk", "can", "go", "back"), "Returns", "Desks"]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = BertConfig(vocab_size=len(words), max_position_embeddings=24, num_labels=1, initializer_range=0.4, **sizes)
    BertForSequenceClassification(config).save_pretrained(path)
    return path


def _copy(folder: Path, to: Path, **config: object) -> Path:
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    changed = json.loads((to / "config.json").read_text("utf-8")) | config
    (to / "config.json").write_text(json.dumps(changed), "utf-8")
    return to


@pytest.mark.slow
def test_scores_are_the_logits_of_transformers(folder: Path) -> None:
    import torch
    from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    texts = ["Returns\na lamp can go back", "Returns\nDesks\n" + "a desk " * 40, "lamp"]
    batch = tokenizer(
        [QUERY] * 3,
        texts,
        padding=True,
        truncation="longest_first",
        max_length=24,
        return_tensors="pt",
        return_token_type_ids=True,
    )
    with torch.inference_mode():
        expected = BertForSequenceClassification.from_pretrained(folder).eval()(**batch).logits[:, 0].numpy()

    scores = CrossEncoder(folder, batch_size=2).score(QUERY, HITS)

    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert np.ptp(scores) > 1e-3


@pytest.mark.slow
def test_nothing_to_score_is_nothing_and_a_query_may_be_too_long(folder: Path) -> None:
    encoder = CrossEncoder(folder)

    assert encoder.score(QUERY, []).shape == (0,)
    assert encoder.score("lamp " * 500, HITS).shape == (3,)


def test_a_folder_without_weights_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")

    with pytest.raises(ValueError, match=r"model_dir: model.safetensors, tokenizer.json is missing from"):
        CrossEncoder(tmp_path)


@pytest.mark.slow
def test_another_family_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model_type: only 'bert' is read here \(got 'xlm-roberta'\)"):
        CrossEncoder(_copy(folder, tmp_path, model_type="xlm-roberta"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["classifier.weight", "bert.encoder.layer.1.output.dense.bias"])
def test_a_missing_weight_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    path = _copy(folder, tmp_path)
    weights = load_file(path / "model.safetensors")
    del weights[name]
    save_file(weights, path / "model.safetensors")

    with pytest.raises(ValueError, match=rf"model.safetensors: {name.removeprefix('bert.')} is missing"):
        CrossEncoder(path)


@pytest.mark.slow
def test_more_than_one_label_is_refused(folder: Path, tmp_path: Path) -> None:
    path = _copy(folder, tmp_path)
    weights = load_file(path / "model.safetensors")
    weights["classifier.weight"] = weights["classifier.weight"].repeat(3, 1)
    save_file(weights, path / "model.safetensors")

    with pytest.raises(ValueError, match=r"classifier: must have one label, the relevance \(got 3\)"):
        CrossEncoder(path)
