"""Training a small language model on token ids, with the balancing that its strategy asks for. Ignores text and files.

Shapes: B sequences of N tokens, T = B * N, W windows of held-out text, E experts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from core_model.train.balance import count_pairs, follow_load, sequence_loss, switch_loss, update_bias, z_loss
from core_model.train.language_model import LanguageModel, Routing


@dataclass(frozen=True)
class Budget:
    """How long and how fast; the same for all that are compared."""

    steps: int
    batch_size: int = 16
    sequence_length: int = 128
    learning_rate: float = 3e-3
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class TrainingLog:
    """What training counted: pairs per expert of each MoE layer over the last tenth of the steps, and dropped pairs."""

    counts: dict[int, list[int]]
    dropped_share: float  # of all pairs of all steps, 0-1
    last_loss: float  # nats, mean over the last tenth of the steps


@dataclass(frozen=True)
class HeldOut:
    """Loss of each held-out window in nats per token, (W,), and pairs per expert of each MoE layer."""

    loss_W: Tensor
    counts: dict[int, list[int]]

    @property
    def loss(self) -> float:
        """Mean over windows."""
        return float(self.loss_W.mean())


def pretrain(model: LanguageModel, token_ids: Sequence[int] | Tensor, *, budget: Budget) -> TrainingLog:
    """Next-token prediction on random windows.

    Raises:
        ValueError: fewer tokens than one window.
    """
    ids = torch.as_tensor(token_ids)
    return run_steps(model, ids, budget=budget, loss=_next_token_loss)


def run_steps(
    model: LanguageModel,
    ids: Tensor,
    *,
    budget: Budget,
    loss: Callable[[LanguageModel, Tensor], tuple[Tensor, list[Routing]]],
    extra: Sequence[nn.Parameter] = (),
) -> TrainingLog:
    """The training loop: AdamW, warm-up and cosine decay, balancing after each step.

    Args:
        loss: From the model and (B, N + 1) ids to the loss before balancing, and the routings that led to it.
        extra: Parameters to train that are not the model's.
    """
    if len(ids) <= budget.sequence_length:
        raise ValueError(f"token_ids: must be more than sequence_length={budget.sequence_length} (got {len(ids)}).")
    generator = torch.Generator().manual_seed(budget.seed)
    parameters = [*model.parameters(), *extra]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": budget.weight_decay},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=budget.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )
    layers = model.moe_layers()
    late = {i: torch.zeros(model.config.n_routed_experts) for i in layers}
    dropped = pairs = 0
    losses: list[float] = []
    model.train()
    for step in range(budget.steps):
        for group in optimizer.param_groups:
            group["lr"] = budget.learning_rate * _schedule(step, budget)
        first = torch.randint(len(ids) - budget.sequence_length, (budget.batch_size,), generator=generator)
        window = first[:, None] + torch.arange(budget.sequence_length + 1)
        value, routings = loss(model, ids[window])
        total = value + _balancing_loss(model, routings, sequence_length=budget.sequence_length)
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

        losses.append(float(value.detach()))
        for (layer_idx, layer), routing in zip(layers.items(), routings, strict=True):
            counts_E = count_pairs(routing.experts_TK, model.config.n_routed_experts)
            dropped, pairs = dropped + routing.num_dropped, pairs + routing.num_dropped + int(counts_E.sum())
            _balance(layer.gate, counts_E, rate=model.strategy.bias_rate)
            if step >= budget.steps * 0.9:
                late[layer_idx] += counts_E
    tail = losses[-max(1, budget.steps // 10) :]
    counts = {i: counts_E.long().tolist() for i, counts_E in late.items()}
    return TrainingLog(counts, dropped / max(1, pairs), sum(tail) / len(tail))


@torch.inference_mode()
def evaluate(model: LanguageModel, token_ids: Sequence[int] | Tensor, *, window: int = 128) -> HeldOut:
    """Loss on text that training did not see, in windows without context before them; capacity does not bind.

    Raises:
        ValueError: fewer tokens than one window.
    """
    ids = torch.as_tensor(token_ids)
    if len(ids) <= window:
        raise ValueError(f"token_ids: must be more than window={window} (got {len(ids)}).")
    model.eval()
    starts = torch.arange(0, len(ids) - window, window)
    counts = {i: torch.zeros(model.config.n_routed_experts) for i in model.moe_layers()}
    losses = []
    for chunk in torch.split(starts, 32):
        ids_BN = ids[chunk[:, None] + torch.arange(window + 1)]
        logits_BNV, routings = model(ids_BN[:, :-1])
        losses.append(F.cross_entropy(logits_BNV.transpose(1, 2), ids_BN[:, 1:], reduction="none").mean(-1))
        for counts_E, routing in zip(counts.values(), routings, strict=True):
            counts_E += count_pairs(routing.experts_TK, model.config.n_routed_experts)
    return HeldOut(torch.cat(losses), {i: counts_E.long().tolist() for i, counts_E in counts.items()})


def _next_token_loss(model: LanguageModel, ids_BN: Tensor) -> tuple[Tensor, list[Routing]]:
    logits_BNV, routings = model(ids_BN[:, :-1])
    return F.cross_entropy(logits_BNV.flatten(0, 1), ids_BN[:, 1:].flatten()), routings


def _balancing_loss(model: LanguageModel, routings: Sequence[Routing], *, sequence_length: int) -> Tensor:
    strategy, total = model.strategy, torch.zeros(())
    for routing in routings:
        if strategy.aux_loss:
            total = total + strategy.aux_loss * switch_loss(routing.probs_TE, routing.experts_TK)
        if strategy.sequence_loss:
            total = total + strategy.sequence_loss * sequence_loss(
                routing.probs_TE, routing.experts_TK, sequence_length=sequence_length
            )
        if strategy.z_loss:
            total = total + strategy.z_loss * z_loss(routing.logits_TE)
    return total


@torch.no_grad()
def _balance(gate: nn.Module, counts_E: Tensor, *, rate: float) -> None:
    gate.load_E = follow_load(gate.load_E, counts_E)  # type: ignore[arg-type]
    if rate:
        gate.e_score_correction_bias = update_bias(gate.e_score_correction_bias, counts_E, rate=rate)  # type: ignore[arg-type]


def _schedule(step: int, budget: Budget) -> float:
    """Linear warm-up, then a cosine to a tenth."""
    warmup = max(1, round(budget.steps * budget.warmup))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, budget.steps - warmup)
    return 0.1 + 0.45 * (1 + cos(pi * done))
