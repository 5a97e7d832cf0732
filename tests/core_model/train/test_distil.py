"""Distillation: the student comes nearer to its teacher than training alone brings it, and is a checkpoint like any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from core_model.compress.coverage import linear_names
from core_model.compress.prune import keep_layers
from core_model.compress.rounding import Scheme, round_to_nearest
from core_model.config import parse_config
from core_model.evaluate import logits_kl, token_logits
from core_model.model import Decoder
from core_model.train.distil import Distillation, distil, divergence, make_student
from core_model.train.language_model import LanguageModel
from core_model.train.pretrain import Budget, pretrain
from core_model.train.qat import finish_qat, prepare_qat
from core_model.weights import Weights
from tests.core_model.train.tiny_training import LLAMA, MOE, make_ids

BUDGET = Budget(steps=20, batch_size=8, sequence_length=32, learning_rate=5e-3)
IDS = make_ids(300)
HELD_OUT = make_ids(20, seed=1)[:64]


def open_decoder(config: dict[str, Any], tensors: Mapping[str, Any]) -> Decoder:
    return Decoder(parse_config(config), Weights(tensors, precision="fp32"))


@pytest.fixture(scope="module")
def teacher() -> tuple[dict[str, Any], dict[str, Tensor]]:
    torch.manual_seed(0)
    model = LanguageModel({**MOE, "num_hidden_layers": 3})
    pretrain(model, IDS, budget=Budget(steps=30, batch_size=8, sequence_length=32, learning_rate=1e-2))
    return model.checkpoint()


@pytest.mark.parametrize("raw", [LLAMA, MOE], ids=["dense student", "MoE student"])
@pytest.mark.parametrize("how", [Distillation(), Distillation(temperature=2.0, hidden_weight=0.1)])
def test_a_new_student_comes_nearer_to_its_teacher(teacher: Any, raw: dict[str, Any], how: Distillation) -> None:
    torch.manual_seed(1)
    student, decoder = LanguageModel(raw), open_decoder(*teacher)
    before = logits_kl(decoder, open_decoder(*student.checkpoint()), HELD_OUT).mean_kl
    distil(student, decoder, IDS, budget=BUDGET, how=how)

    after = logits_kl(decoder, open_decoder(*student.checkpoint()), HELD_OUT).mean_kl
    assert after < before / 3


def test_a_pruned_teacher_is_healed(teacher: Any) -> None:
    config, tensors = keep_layers(*teacher, [0, 2])
    decoder = open_decoder(*teacher)
    before = logits_kl(decoder, open_decoder(config, tensors), HELD_OUT).mean_kl
    student = make_student(config, tensors)
    distil(student, decoder, IDS, budget=BUDGET)

    after = logits_kl(decoder, open_decoder(*student.checkpoint()), HELD_OUT).mean_kl
    assert after < before / 2


def test_codes_learned_from_the_teacher_serve_better_than_rounded_ones(teacher: Any) -> None:
    config, tensors = teacher
    scheme, linear, decoder = Scheme(2, 16), set(linear_names(tensors)), open_decoder(*teacher)
    rounded = {name: round_to_nearest(w, scheme) if name in linear else w for name, w in tensors.items()}
    student = make_student(*teacher)
    prepare_qat(student, scheme, wanted=linear.__contains__)
    distil(student, decoder, IDS, budget=BUDGET)

    codes = finish_qat(student)

    assert set(codes) == linear
    learned = open_decoder(config, student.checkpoint()[1] | codes)
    assert torch.allclose(token_logits(learned, HELD_OUT), student(torch.tensor([HELD_OUT]))[0][0], atol=1e-4)
    found, before = (logits_kl(decoder, one, HELD_OUT).mean_kl for one in (learned, open_decoder(config, rounded)))
    assert found < before / 2


def test_a_student_starts_as_its_checkpoint(teacher: Any) -> None:
    student = make_student(*teacher).eval()

    with torch.no_grad():
        logits = student(torch.tensor([HELD_OUT]))[0][0]
    assert (logits - token_logits(open_decoder(*teacher), HELD_OUT)).abs().max() < 1e-4


def test_divergence_is_zero_for_the_teacher_itself_and_only_then() -> None:
    logits = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))

    assert divergence(logits, logits, temperature=2.0).item() == pytest.approx(0, abs=1e-6)
    assert divergence(logits, logits.flip(0), temperature=2.0).item() > 0.1


def test_what_does_not_fit_is_refused(teacher: Any) -> None:
    config, tensors = teacher

    with pytest.raises(ValueError, match="vocab_size: must be the teacher's 128"):
        distil(LanguageModel({**LLAMA, "vocab_size": 64}), open_decoder(*teacher), IDS, budget=BUDGET)
    with pytest.raises(ValueError, match=r"model\.norm\.weight is missing"):
        make_student(config, {name: w for name, w in tensors.items() if name != "model.norm.weight"})
    with pytest.raises(ValueError, match="temperature: must be above 0"):
        Distillation(temperature=0)
