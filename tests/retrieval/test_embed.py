"""The embedded MiniLM against transformers' own BertModel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from retrieval.embed import MiniLMEmbedder, packaged_model_dir

TEXTS = [
    "How do I return a lamp?",
    "",
    "x",
    "Déjà vu, 退货 and 🙂 in one sentence; " * 30,
    "Express delivery costs $14.95 and takes two business days.",
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def minilm() -> MiniLMEmbedder:
    return MiniLMEmbedder(batch_size=2)


@pytest.mark.slow
def test_vectors_equal_transformers_mean_pooled_and_normalised(minilm: MiniLMEmbedder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = (
        AutoTokenizer.from_pretrained(packaged_model_dir()),
        AutoModel.from_pretrained(packaged_model_dir()),
    )
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1).numpy()

    np.testing.assert_allclose(minilm.embed(TEXTS), expected, atol=2e-6)


@pytest.mark.slow
def test_a_text_has_the_same_vector_alone_and_in_a_batch(minilm: MiniLMEmbedder) -> None:
    together = minilm.embed(TEXTS)

    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(minilm.embed([text])[0], vector, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_the_mean_of_a_texts_tokens_scaled_to_length_one_is_its_vector(minilm: MiniLMEmbedder) -> None:
    means = np.stack([states_TD.mean(0) for states_TD in minilm.embed_tokens(TEXTS)])

    np.testing.assert_allclose(means / np.linalg.norm(means, axis=1, keepdims=True), minilm.embed(TEXTS), atol=2e-6)


@pytest.mark.slow
def test_no_texts_are_no_vectors(minilm: MiniLMEmbedder) -> None:
    assert minilm.embed([]).shape == (0, 384)
    assert minilm.name == "all-MiniLM-L6-v2@53aa51172d14"


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(ValueError, match=r"model_dir: model.safetensors, tokenizer.json is missing from .*Reinstall"):
        MiniLMEmbedder(tmp_path)
