"""Adapters' folders: what is wrong with one is named, and nothing is read past it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from core_model.adapter_bank import AdapterBank
from core_model.model import Decoder
from tests.core_model.tiny_adapters import lora_tensors, write_folder, write_lora, write_prompt


def test_a_changed_scale_is_another_adapter(tmp_path: Path, decoder: Decoder) -> None:
    bank = AdapterBank(decoder)

    adapters = [bank.read(write_lora(tmp_path / str(alpha), seed=0, lora_alpha=alpha)) for alpha in (8, 16)]

    assert adapters[0].id != adapters[1].id
    assert adapters[0].id == bank.read(tmp_path / "8").id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: must be one of LORA, PROMPT_TUNING"),
        ({"use_dora": True}, "use_dora: not supported"),
        ({"bias": "all"}, r"bias: not supported \(got 'all'\)"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save: not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out: not supported"),
        ({"layers_to_transform": [0]}, "layers_to_transform: not supported"),
        ({"target_parameters": ["gate_up_proj"]}, "target_parameters: .*Routed experts cannot be adapted"),
        ({"task_type": "SEQ_CLS"}, "task_type: not supported"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: 'pissa' changes the base model too"),
        ({"some_future_option": 3}, "some_future_option: not supported"),
        ({"target_modules": ["q_proj", "lm_head"]}, r"target_modules: this model can adapt .*\(got 'lm_head'\)"),
        ({"target_modules": ".*nothing"}, "target_modules: fits no layer"),
        ({"target_modules": "("}, "target_modules: not an expression"),
        ({"target_modules": []}, "target_modules: must be a list of layer names"),
        ({"target_modules": ["q_proj"]}, "belongs to no layer that can be adapted"),
        ({"r": 0}, "r: must be a whole number of at least 1"),
        ({"r": 65}, "r: at most 64"),
        ({"r": 2}, r"lora_A.weight must have shape \(2, 32\) \(got \(4, 32\)\)"),
        ({"lora_alpha": "8"}, "lora_alpha: must be a number"),
        ({"rank_pattern": {"q_(proj)": 2}}, "rank_pattern: keys must be plain layer names"),
    ],
)
def test_an_unusable_option_is_named(tmp_path: Path, decoder: Decoder, options: dict[str, Any], message: str) -> None:
    folder = write_lora(tmp_path / "adapter", seed=0, **options)

    with pytest.raises(ValueError, match=message):
        AdapterBank(decoder).read(folder)


def test_missing_extra_and_broken_tensors_are_named(tmp_path: Path, decoder: Decoder) -> None:
    bank, whole = AdapterBank(decoder), lora_tensors(seed=0)
    first = next(iter(whole))
    short = {name: tensor for name, tensor in whole.items() if name != first}
    expert = {**whole, "base_model.model.model.layers.0.mlp.experts.0.up_proj.lora_A.weight": torch.ones(4, 32)}
    broken = {**whole, first: whole[first] * float("nan")}

    with pytest.raises(ValueError, match=f"{first} is missing"):
        bank.read(write_lora(tmp_path / "short", seed=0, tensors=short))
    with pytest.raises(ValueError, match="Routed experts cannot be adapted"):
        bank.read(write_lora(tmp_path / "expert", seed=0, tensors=expert))
    with pytest.raises(ValueError, match=f"{first} must hold finite floats"):
        bank.read(write_lora(tmp_path / "broken", seed=0, tensors=broken))


def test_damaged_folders_are_refused(tmp_path: Path, decoder: Decoder) -> None:
    bank, cut = AdapterBank(decoder), write_lora(tmp_path / "cut", seed=0)
    weights = cut / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    no_json = write_lora(tmp_path / "no-json", seed=0)
    (no_json / "adapter_config.json").write_text("{")
    only_config = tmp_path / "only-config"
    only_config.mkdir()
    (only_config / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))

    with pytest.raises(ValueError, match=r"adapter: damaged files \(got 'cut'"):
        bank.read(cut)
    with pytest.raises(ValueError, match=r"adapter: damaged files \(got 'no-json'"):
        bank.read(no_json)
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors is missing"):
        bank.read(only_config)


def test_a_prompt_of_another_width_is_refused(tmp_path: Path, decoder: Decoder) -> None:
    config = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5}
    folder = write_folder(tmp_path / "wide", {"prompt_embeddings": torch.ones(5, 64)}, config)

    with pytest.raises(ValueError, match=r"prompt_embeddings must have shape \(5, 32\) \(got \(5, 64\)\)"):
        AdapterBank(decoder).read(folder)
    assert AdapterBank(decoder).read(write_prompt(tmp_path / "right", seed=0)).num_virtual_tokens == 5
