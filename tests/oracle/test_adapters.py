"""Adapters against PEFT: the same logits for each adapter alone, and for all of them mixed in one batch."""

from __future__ import annotations

from typing import Any

import peft
import pytest
import torch
from torch import Tensor

from core_model.adapter_bank import AdapterBank
from core_model.config import parse_config
from core_model.model import Decoder, Segment
from core_model.weights import Weights
from tests.core_model.tiny import open_cache
from tests.oracle.families import IDS, make_oracle
from tests.oracle.oracles import save_and_read, their_logits

ATTENTION, MLP = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
LATENT = ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "o_proj"]
CASES = {
    "Llama: grouped heads": [
        peft.LoraConfig(r=8, lora_alpha=16, target_modules=[*ATTENTION, *MLP]),
        peft.LoraConfig(r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj", "up_proj"]),
        peft.LoraConfig(
            r=4,
            target_modules=MLP,
            rank_pattern={"layers.1.mlp.up_proj": 2},
            alpha_pattern={"down_proj": 32, "layers.0.mlp.gate_proj": 1},
        ),
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=6),
    ],
    "Glm4Moe: groups": [
        peft.LoraConfig(r=8, lora_alpha=16, target_modules=[*ATTENTION, *MLP]),
        peft.LoraConfig(r=2, target_modules=["o_proj"]),
        peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3),
    ],
    "DeepseekV3: groups": [peft.LoraConfig(r=4, target_modules=[*LATENT, *MLP])],
}
PROMPTS = [IDS[:9], IDS[20:33], IDS[40:47], IDS[50:55]]


@torch.no_grad()
def peft_model(case: str, config: peft.PeftConfig, seed: int) -> Any:
    """The oracle with a random adapter whose every part matters."""
    model = peft.get_peft_model(make_oracle(case), config)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.normal_(0, 0.3)
        elif "prompt" in name:
            parameter.normal_(0, 1.0)
    return model.eval()


@pytest.fixture(scope="module", params=CASES)
def adapted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our decoder with all adapters of a case, their ids, and PEFT's logits of each prompt with its adapter."""
    case, folder = request.param, tmp_path_factory.mktemp("adapters")
    config, tensors = save_and_read(make_oracle(case), folder / "base")
    decoder = Decoder(parse_config(config), Weights(tensors, precision="fp32"))
    bank, adapters, expected = AdapterBank(decoder), [], []
    for i, peft_config in enumerate(CASES[case]):
        model = peft_model(case, peft_config, seed=i)
        model.save_pretrained(folder / str(i))
        adapters.append(bank.read(folder / str(i)))
        bank.add(adapters[-1])
        expected.append(their_logits(model, PROMPTS[i]))
    expected.append(their_logits(make_oracle(case), PROMPTS[-1]))
    return decoder, adapters, expected


def run(decoder: Decoder, adapters: list[Any], *, chunk: int) -> list[Tensor]:
    """Logits of each adapter's prompt, and of the last prompt without one, all in the same calls."""
    wanted = [*zip(adapters, PROMPTS, strict=False), (None, PROMPTS[-1])]
    todo = [[0] * (adapter.num_virtual_tokens if adapter else 0) + prompt for adapter, prompt in wanted]
    cache = open_cache(decoder.config, num_slots=len(todo), max_context=32)
    done, logits = [0] * len(todo), [list[Tensor]() for _ in todo]
    while any(at < len(ids) for at, ids in zip(done, todo, strict=True)):
        live = [i for i, ids in enumerate(todo) if done[i] < len(ids)]
        sizes = [min(chunk, len(todo[i]) - done[i]) for i in live]
        segments = [
            Segment(n, done[i], i, adapter.id if (adapter := wanted[i][0]) else None)
            for i, n in zip(live, sizes, strict=True)
        ]
        tokens = [token for i, n in zip(live, sizes, strict=True) for token in todo[i][done[i] : done[i] + n]]
        out = decoder.logits(decoder(torch.tensor(tokens), segments, cache)).split(sizes)
        for i, n, part in zip(live, sizes, out, strict=True):
            logits[i].append(part)
            done[i] += n
    return [torch.cat(parts) for parts in logits]


@pytest.mark.parametrize("chunk", [1, 4, 32])
def test_a_mixed_batch_equals_peft(adapted: Any, chunk: int) -> None:
    decoder, adapters, expected = adapted

    ours = run(decoder, adapters, chunk=chunk)

    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
