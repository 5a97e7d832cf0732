"""The embedded model against transformers, from the same GGUF: dense, upcycled, saved, quantized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, Glm4MoeForCausalLM

from core_model.checkpoint import write_json, write_tensors
from core_model.config import parse_config
from core_model.embedded import find_gguf
from core_model.evaluate import logits_kl, perplexity
from core_model.formats.gguf_file import GGUFFile
from core_model.model import Decoder
from core_model.tokenizer import tokenizer_from_gguf
from core_model.upcycle import UpcycleRecipe, upcycle
from core_model.weights import Weights
from tests.oracle.conftest import PROSE, Dense
from tests.oracle.oracles import our_logits, their_logits

pytestmark = pytest.mark.slow


def test_fp32_logits_equal_transformers_llama(dense: Dense, llama: Any) -> None:
    expected = their_logits(llama, dense.token_ids)

    error = (our_logits(dense.config, dense.tensors, dense.token_ids) - expected).abs().max()

    assert error <= 1e-4


def test_bf16_logits_are_as_close_to_fp32_as_transformers_bf16(dense: Dense, llama: Any) -> None:
    """Two bf16 programs differ by rounding alone: ours may be no further from fp32 than theirs, give or take a half."""
    from transformers import LlamaForCausalLM

    exact = their_logits(llama, dense.token_ids)
    with torch.no_grad():
        half = LlamaForCausalLM(llama.config).to(torch.bfloat16)
        half.load_state_dict(llama.state_dict())
    theirs = (their_logits(half.eval(), dense.token_ids) - exact).abs().mean()

    ours = (our_logits(dense.config, dense.tensors, dense.token_ids, "bf16") - exact).abs().mean()

    assert ours <= 1.5 * theirs


def test_the_upcycled_model_equals_the_dense_one_and_opens_in_transformers(dense: Dense, tmp_path: Path) -> None:
    config, tensors = upcycle(dense.config, dense.tensors, UpcycleRecipe())
    expected = our_logits(dense.config, dense.tensors, dense.token_ids)

    upcycled = our_logits(config, tensors, dense.token_ids)
    write_tensors(tmp_path, tensors, lambda done: None)
    write_json(tmp_path / "config.json", {**config, "dtype": "float32"})
    opened, info = Glm4MoeForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)

    assert torch.equal(upcycled, expected)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert (their_logits(opened.eval(), dense.token_ids) - expected).abs().max() <= 1e-4


def test_int8_drifts_little(dense: Dense) -> None:
    """Stated drift of the CPU default from fp32: mean KL up to 0.02 nats, perplexity + 3 %, same top token 90 %."""
    config, tensors = upcycle(dense.config, dense.tensors, UpcycleRecipe())
    exact = Decoder(parse_config(config), Weights(tensors, precision="fp32"))
    int8 = Decoder(parse_config(config), Weights(tensors, precision="int8"))

    drift = logits_kl(exact, int8, dense.token_ids)

    assert drift.mean_kl <= 0.02
    assert drift.top1_agreement >= 0.9
    assert perplexity(int8, dense.token_ids) <= 1.03 * perplexity(exact, dense.token_ids)


def test_the_tokenizer_equals_transformers(dense: Dense) -> None:
    """transformers' GGUF tokenizer does not split digits as SmolLM2 does, so numbers are left out here."""
    path = find_gguf()
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    ours = tokenizer_from_gguf(GGUFFile(path).metadata)
    texts = ["".join(c for c in PROSE if not c.isdigit()), "naïve café 世界 🙂", "<|im_start|>user\nHi<|im_end|>\n"]

    assert [ours.encode(text).ids for text in texts] == [theirs.encode(text) for text in texts]
