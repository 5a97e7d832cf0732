"""A decoder over kernels gives the tokens of the torch one: prompts, and single steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.config import parse_config
from core_model.kv_cache import PagedCache
from core_model.model import Decoder, Segment
from core_model.moe import MoE
from core_model.parallel.share import Share
from core_model.weights import Precision, Weights
from tests.core_model.tiny import LLAMA
from tests.core_model.tiny_experts import DEEPSEEK, seeded_tensors

pytest.importorskip("triton", reason="needs the extra `cuda`")

from core_model.kernels.gpu.attention import PagedTokens
from core_model.kernels.gpu.layers import FusedLinear, FusedMoE, accelerate
from core_model.kernels.gpu.step import Step, has_step

QWEN = {**LLAMA, "model_type": "qwen3", "vocab_size": 40, "hidden_size": 24, "head_dim": 16, "num_hidden_layers": 1}
PROMPTS = [[*range(17)], [9]]


def _make(config: dict[str, Any], precision: Precision, device: torch.device) -> tuple[Decoder, PagedCache]:
    parsed = parse_config(config)
    decoder = Decoder(parsed, Weights(seeded_tensors(config), precision=precision, device=device))
    cache = PagedCache(parsed, num_pages=9, dtype=decoder.dtype, device=device, page_size=16)
    for i, prompt in enumerate(PROMPTS):
        assert cache.begin([*prompt, 0], root=bytes([i])) == (i, 0)
    return decoder, cache


def _read_prompts(decoder: Decoder, cache: PagedCache) -> Tensor:
    """The token after each prompt."""
    segments = [Segment(len(prompt), 0, i) for i, prompt in enumerate(PROMPTS)]
    hidden_TD = decoder(torch.tensor([token for prompt in PROMPTS for token in prompt]), segments, cache)
    ends = torch.tensor([len(prompt) for prompt in PROMPTS]).cumsum(0) - 1
    return decoder.logits(hidden_TD[ends]).argmax(-1)


@pytest.mark.parametrize(
    ("config", "precision", "tolerance"),
    [(QWEN, "int4", 5e-2), (DEEPSEEK, "fp32", 2e-4)],  # torch's 8-bit head rounds what it multiplies to bf16
)
def test_a_step_gives_what_torch_gives(
    device: torch.device, config: dict[str, Any], precision: Precision, tolerance: float
) -> None:
    plain, fast = _make(config, precision, device), _make(config, precision, device)
    tokens, same = _read_prompts(*plain), _read_prompts(*fast)
    before = plain[0].expert_counts()
    accelerate(fast[0])
    entries = fast[1].plain_entries()
    assert entries is not None
    pages = torch.tensor([[*fast[1].pages_of(i), 0][:2] for i in (0, 1, 0)], dtype=torch.int32)  # the third is filling
    places = PagedTokens(pages, torch.tensor([17, 1, 17]), 16)
    num = torch.tensor(2, dtype=torch.int32)
    x_BD = fast[0].embed_tokens_VD[tokens[[0, 1, 0]]].to(fast[0].dtype)

    segments = [Segment(1, len(prompt), i) for i, prompt in enumerate(PROMPTS)]
    expected = plain[0].logits(plain[0](tokens, segments, plain[1]))
    found = fast[0].logits(Step(fast[0], entries)(x_BD, places, num))

    assert torch.equal(tokens, same)
    torch.testing.assert_close(found[:2], expected, atol=tolerance, rtol=1e-4)
    after = plain[0].expert_counts()
    since = {i: [b - a for a, b in zip(before[i], after[i], strict=True)] for i in after}
    assert fast[0].expert_counts() == since  # counted anew, and each token once


def test_a_prompt_goes_through_the_same_kernels(device: torch.device) -> None:
    plain, fast = _make(DEEPSEEK, "fp32", device)[0], _make(DEEPSEEK, "fp32", device)[0]
    accelerate(fast)

    expected, found = (each(torch.tensor([3, 1]), [Segment(2)]) for each in (plain, fast))

    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    assert fast.expert_counts() == plain.expert_counts()


def test_what_has_a_kernel_is_replaced_and_shared_experts_join_the_others(device: torch.device) -> None:
    decoder, _ = _make(DEEPSEEK, "int8", device)

    accelerate(decoder)

    moe = decoder.layers[1].mlp
    assert isinstance(moe, FusedMoE)
    assert moe.shared_experts is None
    assert isinstance(decoder.lm_head, FusedLinear)
    assert isinstance(decoder.layers[0].self_attn.o_proj, FusedLinear)


def test_experts_of_two_processes_add_up_to_the_layer(device: torch.device) -> None:
    config, tensors = parse_config(DEEPSEEK), seeded_tensors(DEEPSEEK)
    torch.manual_seed(0)
    x_TD = torch.randn(3, 48)
    whole = Decoder(config, Weights(tensors, precision="fp32", device=device)).layers[1].mlp

    parts = []
    for rank in range(2):
        part = Decoder(config, Weights(tensors, precision="fp32", device=device, share=Share(rank, 2), config=config))
        accelerate(part)
        parts.append(part.layers[1].mlp)
        assert isinstance(parts[-1], FusedMoE)

    torch.testing.assert_close(sum(part(x_TD) for part in parts), whole(x_TD), atol=1e-4, rtol=1e-4)
    assert isinstance(whole, MoE)
    assert [sum(each) for each in zip(*(part.counts for part in parts), strict=True)] == whole.counts


def test_a_decoder_with_learned_sinks_or_hashing_has_no_step() -> None:
    assert has_step(parse_config(LLAMA))
    assert has_step(parse_config(DEEPSEEK))
    assert not has_step(parse_config(LLAMA).with_window(8))
