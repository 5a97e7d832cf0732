"""What quantization cost and what it bought: size, perplexity, drift, task scores and speed of each precision.

Ignores which text and tasks are right: the caller brings them, and says what they are.
Shapes: T tokens, V vocabulary, W windows.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from core_model.evaluate import token_kl, token_logits
from core_model.model import Decoder, Segment
from core_model.quantized_weight import Weight

Score = Callable[[Decoder], float]


@dataclass(frozen=True)
class Row:
    """One precision.

    Attributes:
        num_bytes: Of the stored weights, scales included.
        perplexity: On the report's text.
        change: Of perplexity against the reference, as a share: .01 is one per cent worse. `low` and `high` bound its
            95 % interval, by bootstrap over windows, each compared with the same window of the reference.
        mean_kl, p99_kl: KL(reference || this) per token, nats; `top1_agreement` how often both prefer the same, 0-1.
        scores: Of the caller's tasks.
        prefill_tokens_per_s, decode_tokens_per_s: One sequence; None where not measured.
    """

    name: str
    num_bytes: int
    perplexity: float
    change: float
    low: float
    high: float
    mean_kl: float
    p99_kl: float
    top1_agreement: float
    scores: Mapping[str, float] = field(default_factory=dict)
    prefill_tokens_per_s: float | None = None
    decode_tokens_per_s: float | None = None


@dataclass(frozen=True)
class Report:
    """Rows about one model, text and machine. The first row is the reference."""

    model: str
    text: str
    num_tokens: int
    machine: str
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """All figures."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False)

    def to_markdown(self) -> str:
        """A table for people; below it what the figures stand on."""
        tasks = list(self.rows[0].scores) if self.rows else []
        heads = ["precision", "MB", "perplexity", "change (95 %)", "mean KL", "p99 KL", "top-1", *tasks]
        heads += ["prefill tok/s", "decode tok/s"]
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for row in self.rows:
            change = f"{row.change:+.2%} ({row.low:+.2%} to {row.high:+.2%})" if row is not self.rows[0] else ""
            cells = [row.name, f"{row.num_bytes / 1e6:.1f}", f"{row.perplexity:.3f}", change, f"{row.mean_kl:.4f}"]
            cells += [f"{row.p99_kl:.3f}", f"{row.top1_agreement:.1%}", *(f"{row.scores[task]:.3f}" for task in tasks)]
            cells += [_rate(row.prefill_tokens_per_s), _rate(row.decode_tokens_per_s)]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join([*lines, "", f"{self.model}; {self.text}, {self.num_tokens} tokens; {self.machine}"])


class Judge:
    """Compares decoders with a reference on the same windows of tokens.

    Args:
        reference: Its predictions are kept in memory, (T, V) fp32.
        windows: Token ids; each is read from its own beginning.
        scores: Tasks, each a function of a decoder.

    Raises:
        ValueError: no window of at least two tokens.
    """

    def __init__(
        self, reference: Decoder, windows: Sequence[Sequence[int]], *, scores: Mapping[str, Score] | None = None
    ) -> None:
        self._windows = [list(window) for window in windows if len(window) > 1]
        if not self._windows:
            raise ValueError("windows: at least one of two tokens is needed (got none).")
        self._scores = dict(scores or {})
        self._expected_TV = [token_logits(reference, window).log_softmax(-1) for window in self._windows]
        self._expected_nll = self._nll(self._expected_TV)

    @property
    def num_tokens(self) -> int:
        """Tokens read."""
        return sum(map(len, self._windows))

    def judge(self, name: str, decoder: Decoder, *, num_bytes: int, speed: tuple[float, float] | None = None) -> Row:
        """All figures of `decoder`; `speed` as `measure_speed` gives it."""
        found, kl, agree = [], [], []
        for window, expected_TV in zip(self._windows, self._expected_TV, strict=True):
            found_TV = token_logits(decoder, window).log_softmax(-1)
            found.append(self._nll([found_TV], [window])[0])
            kl.append(token_kl(expected_TV, found_TV))
            agree.append(found_TV.argmax(-1) == expected_TV.argmax(-1))
        kl_T = torch.cat(kl).clamp(min=0)
        change, low, high = _change(found, self._expected_nll)
        return Row(
            name,
            num_bytes,
            perplexity=float(torch.cat(found).mean().exp()),
            change=change,
            low=low,
            high=high,
            mean_kl=float(kl_T.mean()),
            p99_kl=float(kl_T.quantile(0.99)),
            top1_agreement=float(torch.cat(agree).float().mean()),
            scores={task: score(decoder) for task, score in self._scores.items()},
            prefill_tokens_per_s=speed[0] if speed else None,
            decode_tokens_per_s=speed[1] if speed else None,
        )

    def _nll(self, log_probs: Sequence[Tensor], windows: Sequence[Sequence[int]] | None = None) -> list[Tensor]:
        pairs = zip(log_probs, windows or self._windows, strict=True)
        return [F.nll_loss(p_TV[:-1], torch.tensor(w[1:], device=p_TV.device), reduction="none") for p_TV, w in pairs]


def stored_bytes(tensors: Mapping[str, Weight]) -> int:
    """Bytes at rest: codes, bf16 scales and, unless symmetric, bf16 offsets of quantized weights; the rest as it is."""
    return sum(_weight_bytes(weight) for weight in tensors.values())


def measure_speed(
    decoder: Decoder, token_ids: Sequence[int], *, num_new: int = 32, runs: int = 5
) -> tuple[float, float]:
    """Prefill and decode, tokens/s, one sequence, medians of `runs`."""
    ids = torch.tensor(list(token_ids), device=decoder.device)
    context = len(ids) + num_new
    cache = _OneSequence(decoder, context)
    prefill, decode = [], []
    for _ in range(runs + 1):
        start = time.perf_counter()
        token = decoder.logits(decoder(ids, [Segment(len(ids))], cache)[-1:]).argmax(-1)
        middle = time.perf_counter()
        for at in range(len(ids), context):
            token = decoder.logits(decoder(token, [Segment(1, at)], cache)).argmax(-1)
        end = time.perf_counter()
        prefill.append(len(ids) / (middle - start))
        decode.append(num_new / (end - middle))
    return statistics.median(prefill[1:]), statistics.median(decode[1:])


class _OneSequence:
    """The plainest cache: the speed is the layers', not the engine's."""

    def __init__(self, decoder: Decoder, context: int) -> None:
        (rows, width), num_layers = decoder.config.cache_entry, decoder.config.num_hidden_layers
        shape = (num_layers, rows, context, width)
        self._entries_LWCR = torch.zeros(shape, dtype=decoder.dtype, device=decoder.device)

    def append(self, layer_idx: int, slot: int, start: int, new_WNR: Tensor, *, context: int = 0) -> Tensor:
        end = start + new_WNR.shape[1]
        self._entries_LWCR[layer_idx, :, start:end] = new_WNR
        return self._entries_LWCR[layer_idx, :, : max(end, context)]


def _change(
    found: Sequence[Tensor], expected: Sequence[Tensor], *, resamples: int = 2000
) -> tuple[float, float, float]:
    """exp(mean difference of nll) - 1, and its interval over resampled windows."""
    total_W = torch.stack([(f - e).double().sum() for f, e in zip(found, expected, strict=True)])
    count_W = torch.tensor([len(f) for f in found], dtype=torch.float64, device=total_W.device)
    picks = torch.randint(len(found), (resamples, len(found)), generator=torch.Generator().manual_seed(0))
    changes = total_W[picks].sum(1).div(count_W[picks].sum(1)).expm1()
    low, high = changes.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return math.expm1(float(total_W.sum() / count_W.sum())), low, high


def _weight_bytes(weight: Weight) -> int:
    if isinstance(weight, Tensor):
        return int(weight.nbytes)
    codes = math.ceil(weight.codes_OI.numel() * weight.bits / 8)
    return codes + weight.scale_OG.numel() * (2 if weight.is_symmetric else 4)


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
