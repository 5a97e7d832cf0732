"""Engines from folders and GGUF files, and what is refused before anything is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import tokenizers

from core_model.chat_model import EngineChatModel
from core_model.config import parse_config
from core_model.embedded import find_gguf
from core_model.evaluate import token_logits
from core_model.generation import SamplingParams
from core_model.loading import load_engine
from core_model.model import Decoder
from core_model.weights import Weights
from tests.core_model.formats.gguf_writing import Vocabulary, write_gguf
from tests.core_model.tiny import LLAMA, TEMPLATE, random_llama


def test_an_unknown_way_to_guess_is_refused(tmp_path: Path) -> None:
    for options, message in [
        ({"speculation": "oracle"}, "speculation: must be one of prompt_lookup, next_tokens, draft_model, off"),
        ({"speculation": "draft_model"}, "draft_folder: goes with speculation='draft_model'"),
        ({"draft_folder": tmp_path}, "draft_folder: goes with speculation='draft_model'"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_engine(tmp_path, device="cpu", **options)  # type: ignore[arg-type]


def write_tiny_gguf(path: Path) -> None:
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<|start|>", "<|bos|>", "<|end|>", *letters, "he"]
    vocabulary = Vocabulary([*tokens, *(f"<{i}>" for i in range(300 - len(tokens)))], ["h e"], 3, TEMPLATE)
    write_gguf(path, LLAMA, random_llama(), vocabulary=vocabulary)


def test_a_gguf_file_becomes_an_engine_with_its_own_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)

    engine, tokenizer = load_engine(path, device="cpu", precision="fp32", max_batch=1)
    with engine:
        answer = EngineChatModel(engine=engine, tokenizer=tokenizer).invoke("hi", max_tokens=4)
        ids = tokenizer.encode("hello there")
        chunks = list(engine.stream(ids, SamplingParams(max_tokens=6, ignore_eos=True)))

    decoder = Decoder(parse_config(LLAMA), Weights(random_llama(), precision="fp32"))
    for token in (chunk.token_ids[0] for chunk in chunks):
        assert token == token_logits(decoder, ids)[-1].argmax()
        ids.append(token)
    assert len(tokenizer.encode("he")) == 1
    assert tokenizer.eos_ids == {2}
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == len("uuser\nhi2\n0assistant\n")
    assert engine.model_version == f"tiny-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}-fp32"


def test_a_gguf_file_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", LLAMA, random_llama())

    with pytest.raises(ValueError, match=r"no tokenizer\.ggml\.model in the file"):
        load_engine(tmp_path / "tiny.gguf", device="cpu", precision="fp32")


@pytest.mark.slow
def test_the_embedded_gguf_answers_as_it_is() -> None:
    engine, tokenizer = load_engine(find_gguf(), device="cpu", max_batch=1)
    with engine:
        chat = EngineChatModel(engine=engine, tokenizer=tokenizer)
        answer = chat.invoke("What is the capital of France? Answer in one sentence.", max_tokens=32)

    assert "Paris" in str(answer.content)
    assert answer.response_metadata["finish_reason"] == "stop"
    assert engine.model_version.startswith("SmolLM2-135M-Instruct.Q4_1-")


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder: no config\.json"):
        load_engine(tmp_path, device="cpu")
