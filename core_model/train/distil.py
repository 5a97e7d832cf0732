"""Distillation: a small student learns a larger decoder's predictions on given text. Ignores what text that is.

Hinton et al. 2015 (arXiv:1503.02531): the student matches the teacher's whole distribution, softened by a temperature,
and the next token itself; optionally its last hidden state, through a projection that is not kept (arXiv:1909.10351).
Shapes: B sequences of N tokens, T = B * N, D and S dims of teacher and student, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.model import Decoder, Segment
from core_model.train.language_model import LanguageModel, Linear, Routing, Strategy
from core_model.train.pretrain import Budget, TrainingLog, run_steps


@dataclass(frozen=True)
class Distillation:
    """Weights of the losses.

    Args:
        temperature: Softens both distributions; above 1 the unlikely tokens count more.
        teacher_weight: Of the divergence from the teacher, 0-1; the rest is for the next token.
        hidden_weight: Of the mean squared distance of last hidden states; 0 leaves it out.
    """

    temperature: float = 1.0
    teacher_weight: float = 0.9
    hidden_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0 <= self.teacher_weight <= 1 or self.hidden_weight < 0:
            raise ValueError(
                "temperature: must be above 0, teacher_weight 0 to 1, hidden_weight 0 or more "
                f"(got {self.temperature}, {self.teacher_weight} and {self.hidden_weight})."
            )


def make_student(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], strategy: Strategy | None = None
) -> LanguageModel:
    """A student that starts from a checkpoint, usually a pruned teacher (`core_model/compress/prune.py`).

    Raises:
        ValueError: a family that is not trained here, or tensors that do not fit the config.
    """
    student = LanguageModel(config, strategy)
    floats = {name: tensor.float() for name, tensor in tensors.items() if name in student.state_dict()}
    missing = student.load_state_dict(floats, strict=False).missing_keys
    if missing:
        raise ValueError(f"tensors: {missing[0]} is missing. Give the student's whole checkpoint.")
    return student


def distil(
    student: LanguageModel,
    teacher: Decoder,
    token_ids: Sequence[int] | Tensor,
    *,
    budget: Budget,
    how: Distillation | None = None,
) -> TrainingLog:
    """Train `student` in place on windows of the text; the teacher's answers are computed as they are needed.

    Returns:
        The log; its loss is the weighted sum.

    Raises:
        ValueError: other vocabularies, or too little text.
    """
    chosen = how or Distillation()
    if student.config.vocab_size != teacher.config.vocab_size:
        raise ValueError(
            f"vocab_size: must be the teacher's {teacher.config.vocab_size} (got {student.config.vocab_size})."
        )
    projection = Linear(student.config.hidden_size, teacher.config.hidden_size) if chosen.hidden_weight else None

    def loss(model: LanguageModel, ids_BN: Tensor) -> tuple[Tensor, list[Routing]]:
        inputs_BN, next_T = ids_BN[:, :-1], ids_BN[:, 1:].flatten()
        hidden_BNS, routings = model.hidden(inputs_BN)
        logits_TV = model.logits(hidden_BNS).flatten(0, 1)
        target_TD, target_TV = _answers(teacher, inputs_BN)
        value = chosen.teacher_weight * divergence(target_TV, logits_TV, temperature=chosen.temperature)
        value = value + (1 - chosen.teacher_weight) * F.cross_entropy(logits_TV, next_T)
        if projection is not None:
            value = value + chosen.hidden_weight * F.mse_loss(projection(hidden_BNS.flatten(0, 1)), target_TD)
        return value, routings

    extra = [] if projection is None else list(projection.parameters())
    return run_steps(student, torch.as_tensor(token_ids), budget=budget, loss=loss, extra=extra)


def divergence(teacher_TV: Tensor, student_TV: Tensor, *, temperature: float) -> Tensor:
    """Mean KL(teacher || student) per token in nats, at a temperature, times its square so that gradients keep size."""
    p_TV, q_TV = ((logits / temperature).log_softmax(-1) for logits in (teacher_TV, student_TV))
    return F.kl_div(q_TV, p_TV, log_target=True, reduction="batchmean") * temperature**2


def _answers(teacher: Decoder, ids_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Last hidden states (T, D) and logits (T, V), as plain tensors that a gradient may flow past."""
    segments = [Segment(ids_BN.shape[1], slot=i) for i in range(len(ids_BN))]
    hidden_TD = teacher(ids_BN.flatten(), segments)
    return hidden_TD.float().clone(), teacher.logits(hidden_TD).clone()
